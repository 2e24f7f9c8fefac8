#!/usr/bin/env python3
"""A user of librdkafka: sends records, reads them through a group, demands each once and in order. See ../README.md."""
import argparse
import json
import os
import threading
import time
import uuid

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

PARTITIONS = 3
SIZES = [0, 1, 100, 1000, 10_000, 100_000]
PRODUCER = {
    "acks-0": {"acks": 0}, "acks-1": {"acks": 1}, "acks-all": {"acks": "all"}, "idempotent": {"enable.idempotence": True},
    "transactional": {"transactional.id": f"txn-{uuid.uuid4()}"},
}


class Failed(Exception):
    """A demand that was not met."""


def demand(condition, otherwise):
    if not condition:
        raise Failed(otherwise)


def value(i, big):
    size = big if big and i == 0 else SIZES[i % len(SIZES)]
    pattern = f"{i}.".encode()
    return (pattern * (size // len(pattern) + 1))[:size]


def settings(a):
    s = {"bootstrap.servers": a.bootstrap, "client.id": "librdkafka", "socket.nagle.disable": True}
    if a.ca:
        s |= {"security.protocol": "SSL", "ssl.ca.location": a.ca}
    if a.cert:
        s |= {"ssl.certificate.location": a.cert, "ssl.key.location": a.cert}
    if a.sasl:
        s |= {"security.protocol": "SASL_SSL" if a.ca else "SASL_PLAINTEXT", "sasl.mechanism": a.sasl}
    if a.sasl and not a.token_endpoint:
        s |= {"sasl.username": "alice", "sasl.password": "alice-secret"}
    if a.token_endpoint:
        s |= {"sasl.oauthbearer.method": "oidc", "sasl.oauthbearer.token.endpoint.url": a.token_endpoint,
              "sasl.oauthbearer.client.id": "alice", "sasl.oauthbearer.client.secret": "alice-secret"}
    return s


def create(admin, topic, a):
    new = NewTopic(topic, PARTITIONS, a.replication, config={"max.message.bytes": str(a.big + (1 << 20))})
    admin.create_topics([new])[topic].result(30)
    found = admin.list_topics(topic, 10).topics[topic]
    demand(found.error or len(found.partitions) == PARTITIONS, f"the topic is described as {found.partitions}")
    # Only a partition that tells its offsets takes records: with acks=0 nobody would say that one did not.
    deadline = time.monotonic() + 30
    for p in range(PARTITIONS):
        partition = TopicPartition(topic, p)
        while True:
            try:
                admin.list_offsets({partition: OffsetSpec.latest()})[partition].result(30)
                break
            except KafkaException:
                demand(time.monotonic() < deadline, f"partition {p} does not get ready")
                time.sleep(0.1)


def produce(topic, a):
    refused = []
    producer = Producer(settings(a) | PRODUCER[a.variant] | {
        "message.max.bytes": a.big + (1 << 20), "linger.ms": 2, "queue.buffering.max.kbytes": 1 << 20})

    start = time.monotonic()

    def send(numbers, pause):
        for i in numbers:
            producer.produce(topic, value(i, a.big), str(i).encode(), i % PARTITIONS,
                             on_delivery=lambda error, _: error and refused.append(error))
            producer.poll(0)
            while (early := start + i * pause - time.monotonic()) > 0:
                producer.poll(early)
        demand(producer.flush(a.limit) == 0, "records are left unsent")
        demand(not refused, f"{len(refused)} records were refused, such as {refused[:1]}")

    pause = a.seconds / a.records
    if a.variant != "transactional":
        return send(range(a.records), pause)
    producer.init_transactions(60)
    producer.begin_transaction()
    send(range(min(10, a.records)), 0)
    producer.abort_transaction(60)
    batch = max(1, a.records // 4)
    for first in range(0, a.records, batch):
        producer.begin_transaction()
        send(range(first, min(first + batch, a.records)), pause)
        producer.commit_transaction(60)


def consume(topic, group, a, over):
    """Read every record; returns the position after the last one of each partition."""
    consumer = Consumer(settings(a) | {
        "group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": False, "fetch.message.max.bytes": 1 << 20,
        "isolation.level": "read_committed", "receive.message.max.bytes": 256 << 20})
    consumer.subscribe([topic])
    following, positions, count = {p: p for p in range(PARTITIONS)}, {}, 0
    try:
        while count < a.records:
            demand(not over.is_set(), f"{count} of {a.records} records were read, then sending failed")
            m = consumer.poll(0.5)
            if m is None:
                continue
            if m.error():
                demand(not m.error().fatal(), m.error())
                continue
            i, p = int(m.key()), m.partition()
            if m.offset() < positions.get(p, 0):
                continue  # read again after a rebalance; twice in the log would be twice at different offsets
            demand(i == following[p], f"partition {p}: record {i} at offset {m.offset()} where {following[p]} was due at "
                   f"{positions.get(p, 0)}")
            demand((m.value() or b"") == value(i, a.big), f"record {i} has changed")
            following[p], positions[p], count = i + PARTITIONS, m.offset() + 1, count + 1
        consumer.commit(asynchronous=False)
    finally:
        consumer.close()
    return positions


def committed(admin, group, topic):
    request = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, p) for p in range(PARTITIONS)])
    offsets = admin.list_consumer_group_offsets([request])[group].result(30).topic_partitions
    return {t.partition: t.offset for t in offsets if t.offset >= 0}


def story(a):
    topic = f"librdkafka-{a.variant}-{uuid.uuid4()}"
    admin = AdminClient(settings(a))
    create(admin, topic, a)
    over, failures = threading.Event(), []

    def produce_or_tell():
        try:
            produce(topic, a)
        except (Failed, KafkaException) as e:
            failures.append(e)
            over.set()

    producing = threading.Thread(target=produce_or_tell, daemon=True)
    producing.start()
    try:
        positions = consume(topic, topic, a, over)
    except Failed:
        if failures:
            raise failures[0]
        raise
    producing.join()
    demand(not failures, f"sending: {failures[:1]}")
    found = committed(admin, topic, topic)
    # Committed may be beyond the last record: the markers of transactions take offsets too.
    demand(all(found.get(p, -1) >= at for p, at in positions.items()), f"committed {found}, read up to {positions}")
    admin.delete_topics([topic])[topic].result(30)


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("bootstrap")
    ap.add_argument("variant", choices=PRODUCER)
    ap.add_argument("--records", type=int, default=1000)
    ap.add_argument("--big", type=int, default=0)
    ap.add_argument("--seconds", type=float, default=0)
    ap.add_argument("--replication", type=int, default=1)
    ap.add_argument("--sasl", default="")
    ap.add_argument("--token-endpoint", default="")
    ap.add_argument("--ca", default="")
    ap.add_argument("--cert", default="")
    ap.add_argument("--limit", type=float, default=120)
    a = ap.parse_args()
    verdict = {"client": "librdkafka", "variant": a.variant, "records": a.records}

    def tell(reason=None):
        print(json.dumps(verdict | ({"verdict": "failed", "reason": str(reason)} if reason else {"verdict": "ok"})), flush=True)
        os._exit(1 if reason else 0)  # also ends what still waits for a cluster that is not there

    watchdog = threading.Timer(a.limit, tell, [f"not over within {a.limit:g} s"])
    watchdog.daemon = True
    watchdog.start()
    try:
        story(a)
    except (Failed, KafkaException) as e:
        tell(f"{type(e).__name__}: {e}")
    tell()


main()

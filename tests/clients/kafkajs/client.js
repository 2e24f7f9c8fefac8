// A user of kafkajs: sends records, reads them through a group, demands each once and in order. See ../README.md.
'use strict'

const { randomUUID } = require('node:crypto')
const { parseArgs } = require('node:util')
const { Kafka, logLevel } = require('kafkajs')

const PARTITIONS = 3
const SIZES = [0, 1, 100, 1000, 10_000, 100_000]
const VARIANTS = {
  'acks-0': { acks: 0 },
  'acks-1': { acks: 1 },
  'acks-all': { acks: -1 },
  idempotent: { acks: -1, producer: { idempotent: true, maxInFlightRequests: 1 } },
  transactional: { acks: -1, producer: { idempotent: true, maxInFlightRequests: 1, transactionalId: `txn-${randomUUID()}` } },
}

class Failed extends Error {}

function demand(condition, otherwise) {
  if (!condition) throw new Failed(otherwise)
}

function value(i, big) {
  return Buffer.alloc(big && i === 0 ? big : SIZES[i % SIZES.length], `${i}.`)
}

const pause = ms => new Promise(resolve => setTimeout(resolve, ms))

// Repeats what kafkajs leaves to its user to repeat: a broker that has not heard of a topic yet, or is away.
async function again(ask) {
  for (let left = 100; ; left--) {
    try {
      return await ask()
    } catch (error) {
      if (!error.retriable || left === 0) throw error
      await pause(200)
    }
  }
}

async function create(admin, topic, o) {
  await admin.createTopics({
    topics: [{
      topic, numPartitions: PARTITIONS, replicationFactor: o.replication,
      configEntries: [{ name: 'max.message.bytes', value: String(o.big + (1 << 20)) }],
    }],
    waitForLeaders: false, // it gives up when the broker that it asks has not heard of the topic yet
  })
  const { topics: [found] } = await again(() => admin.fetchTopicMetadata({ topics: [topic] }))
  demand(found.partitions.length === PARTITIONS, `the topic is described as ${JSON.stringify(found)}`)
  // Only a partition that tells its offsets takes records: with acks=0 nobody would say that one did not.
  await again(() => admin.fetchTopicOffsets(topic))
}

async function produce(kafka, topic, o) {
  const { acks, producer: options } = VARIANTS[o.variant]
  const producer = kafka.producer({ allowAutoTopicCreation: false, ...options })
  await producer.connect()
  const batch = o.seconds ? Math.max(1, Math.ceil(o.records / (o.seconds * 20))) : 50
  const start = Date.now()
  const send = async (to, first, count) => {
    const messages = []
    for (let i = first; i < Math.min(first + count, o.records); i++) {
      messages.push({ key: String(i), partition: i % PARTITIONS, value: value(i, o.big) })
    }
    await to.send({ topic, messages, acks })
    await pause(Math.max(0, start + (o.seconds * 1000 * first) / o.records - Date.now()))
  }
  if (o.variant === 'transactional') {
    const aborted = await producer.transaction()
    await send(aborted, 0, 10)
    await aborted.abort()
  }
  for (let first = 0; first < o.records; first += batch) {
    if (o.variant === 'transactional') {
      const transaction = await producer.transaction()
      await send(transaction, first, batch)
      await transaction.commit()
    } else {
      await send(producer, first, batch)
    }
  }
  await producer.disconnect()
}

// Reads every record; returns the position after the last one of each partition.
async function consume(kafka, topic, group, o) {
  const consumer = kafka.consumer({ groupId: group, maxBytes: 64 << 20 })
  await consumer.connect()
  await again(() => consumer.subscribe({ topics: [topic], fromBeginning: true }))
  const following = Array.from({ length: PARTITIONS }, (_, p) => p)
  const positions = {}
  let count = 0
  await new Promise((resolve, reject) => {
    consumer.on(consumer.events.CRASH, ({ payload: { error, restart } }) => restart || reject(error))
    const eachMessage = async ({ partition, message }) => {
      try {
        // Read again after a rebalance; twice in the log would be twice at different offsets.
        if (BigInt(message.offset) < (positions[partition] ?? 0n)) return
        const i = Number(message.key.toString())
        demand(i === following[partition], `partition ${partition}: record ${i} where ${following[partition]} was due`)
        demand((message.value ?? Buffer.alloc(0)).equals(value(i, o.big)), `record ${i} has changed`)
        following[partition] = i + PARTITIONS
        positions[partition] = BigInt(message.offset) + 1n
        if (++count === o.records) resolve()
      } catch (error) {
        reject(error)
      }
    }
    consumer.run({ autoCommit: false, eachMessage }).catch(reject)
  })
  await consumer.commitOffsets(Object.entries(positions).map(([partition, offset]) => ({
    topic, partition: Number(partition), offset: String(offset),
  })))
  await consumer.disconnect()
  return positions
}

async function story(o) {
  const topic = `kafkajs-${o.variant}-${randomUUID()}`
  const kafka = new Kafka({
    clientId: 'kafkajs', brokers: o.bootstrap.split(','), logLevel: logLevel.NOTHING, requestTimeout: 30_000,
    retry: { initialRetryTime: 100, maxRetryTime: 2000, retries: 30 },
    sasl: o.sasl ? { mechanism: o.sasl.toLowerCase(), username: 'alice', password: 'alice-secret' } : undefined,
  })
  const admin = kafka.admin()
  await admin.connect()
  await create(admin, topic, o)
  const [positions] = await Promise.all([consume(kafka, topic, topic, o), produce(kafka, topic, o)])
  const [{ partitions }] = await again(() => admin.fetchOffsets({ groupId: topic, topics: [topic] }))
  const committed = Object.fromEntries(partitions.map(p => [p.partition, BigInt(p.offset)]))
  for (const [p, at] of Object.entries(positions)) {
    demand(committed[p] === at, `partition ${p}: committed ${committed[p]}, read up to ${at}`)
  }
  await admin.deleteTopics({ topics: [topic] })
  await admin.disconnect()
}

function options() {
  const number = name => [name, { type: 'string' }]
  const { values, positionals: [bootstrap, variant] } = parseArgs({
    allowPositionals: true,
    options: Object.fromEntries([...['records', 'big', 'seconds', 'replication', 'limit'].map(number), ['sasl', { type: 'string' }]]),
  })
  if (!bootstrap || !(variant in VARIANTS)) {
    console.error(`usage: client.js BOOTSTRAP ${Object.keys(VARIANTS).join('|')} [options]`)
    process.exit(2)
  }
  return {
    bootstrap, variant, sasl: values.sasl, records: Number(values.records ?? 1000), big: Number(values.big ?? 0),
    seconds: Number(values.seconds ?? 0), replication: Number(values.replication ?? 1), limit: Number(values.limit ?? 120),
  }
}

function tell(o, reason) {
  const verdict = { client: 'kafkajs', variant: o.variant, records: o.records, verdict: reason ? 'failed' : 'ok' }
  process.stdout.write(`${JSON.stringify(reason ? { ...verdict, reason } : verdict)}\n`, () => process.exit(reason ? 1 : 0))
}

const o = options()
setTimeout(() => tell(o, `not over within ${o.limit} s`), o.limit * 1000).unref()
story(o).then(() => tell(o), error => tell(o, error.stack))

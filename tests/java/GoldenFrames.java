import static java.nio.charset.StandardCharsets.UTF_8;

import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.function.IntFunction;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.message.ApiMessageType.ListenerType;
import org.apache.kafka.common.message.*;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.types.RawTaggedField;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.SimpleRecord;
import org.apache.kafka.common.requests.RequestUtils;
import org.apache.kafka.common.utils.AppInfoParser;

/**
 * Writes frames as Kafka's own Java encoder makes them, and what a proxy must turn them into.
 *
 * <p>A variant is a function from a version to the message of that version, or to null where the version cannot say it.
 * The expected frame is the same message once more, its addresses mapped, through the same encoder: neither column knows
 * anything of kroxy. Every frame is decoded and encoded again before it is written; one that changes by that is a mistake
 * here, and stops the program.
 */
final class GoldenFrames {
    private static final String HOST = "kroxy.test";
    private static final int FIRST_PORT = 9100;
    private static final int SOFT_FAILURE_PORT = 1;
    private static final Uuid ORDERS_ID = new Uuid(0x0102030405060708L, 0x1112131415161718L);
    private static final Uuid PAYMENTS_ID = new Uuid(0x2122232425262728L, 0x3132333435363738L);

    /** Of one response: its variants by name, and the proxy's rule; without a rule there is no expected column. */
    private record Response(ApiKeys api, Map<String, IntFunction<ApiMessage>> variants, Optional<Consumer<ApiMessage>> rule) {}

    public static void main(String[] args) throws Exception {
        if (args.length != 1) {
            System.err.println("usage: java -cp 'KAFKA_JARS/*' GoldenFrames.java OUTDIR");
            System.exit(2);
        }
        Path out = Files.createDirectories(Path.of(args[0]));
        for (Response r : List.of(metadata(), findCoordinator(), describeCluster(), produce(), fetch(), shareFetch(),
                shareAcknowledge(), describeQuorum(), describeConfigs(), apiVersions())) {
            writeResponses(out, r);
        }
        writeProduceRequests(out);
        writeRequests(out, ApiKeys.API_VERSIONS, apiVersionsRequests());
        writeRequests(out, ApiKeys.SASL_HANDSHAKE, saslHandshakeRequests());
        writeRequests(out, ApiKeys.METADATA, metadataRequests());
        writeRequests(out, ApiKeys.FETCH, fetchRequests());
    }

    // ---- the proxy's rule

    /** Node b of the upstream is seen at port 9100 + b; a node that no port was set aside for, at one that fails softly. */
    private static int port(int node) {
        return node >= 0 && node <= 99 ? FIRST_PORT + node : SOFT_FAILURE_PORT;
    }

    private static Response metadata() {
        var v = new LinkedHashMap<String, IntFunction<ApiMessage>>();
        v.put("typical", version -> metadataTypical(version));
        v.put("empty", version -> new MetadataResponseData());
        v.put("null-rack-and-cluster", version -> new MetadataResponseData().setClusterId(null)
                .setBrokers(metadataBrokers(broker(0, null), broker(99, null))));
        v.put("empty-rack-and-cluster", version -> new MetadataResponseData().setClusterId("")
                .setBrokers(metadataBrokers(broker(1, ""))));
        v.put("outside-the-range", version -> new MetadataResponseData()
                .setBrokers(metadataBrokers(broker(100, "r"), broker(Integer.MAX_VALUE, "r"), broker(5, "r"))));
        v.put("ipv6-and-high-ports", version -> new MetadataResponseData().setBrokers(metadataBrokers(
                broker(1, null).setHost("2001:db8::17").setPort(65535), broker(2, null).setHost("10.0.0.2").setPort(0))));
        v.put("long-hosts", version -> new MetadataResponseData().setBrokers(metadataBrokers(
                broker(1, "rack").setHost("h".repeat(126)), broker(2, "rack").setHost("h".repeat(127)),
                broker(3, "rack").setHost("h".repeat(255)))));
        v.put("130-brokers", version -> new MetadataResponseData().setBrokers(metadataBrokers(
                IntStream.range(0, 130).mapToObj(i -> broker(i, null).setHost("b")).toArray(MetadataResponseData.MetadataResponseBroker[]::new))));
        v.put("errors", version -> {
            var topics = new MetadataResponseData.MetadataResponseTopicCollection();
            topics.add(new MetadataResponseData.MetadataResponseTopic().setErrorCode((short) 3).setName("missing"));
            topics.add(new MetadataResponseData.MetadataResponseTopic().setName("leaderless").setPartitions(List.of(
                    metadataPartition(0, -1, List.of(1, 2), List.of()).setErrorCode((short) 5).setOfflineReplicas(List.of(1, 2)))));
            if (version >= 12) {
                topics.add(new MetadataResponseData.MetadataResponseTopic().setErrorCode((short) 100).setName(null).setTopicId(PAYMENTS_ID));
            }
            return new MetadataResponseData().setControllerId(-1).setBrokers(metadataBrokers(broker(2, "r2"))).setTopics(topics)
                    .setErrorCode((short) (version >= 13 ? 129 : 0));
        });
        v.put("tagged", version -> {
            if (version < 9) {
                return null;
            }
            var m = metadataTypical(version);
            tag(m.unknownTaggedFields(), 31, "top");
            tag(m.unknownTaggedFields(), 10000, "");
            m.brokers().forEach(b -> tag(b.unknownTaggedFields(), 10000, "pod-" + b.nodeId()));
            m.topics().forEach(t -> {
                tag(t.unknownTaggedFields(), 10000, "topic");
                t.partitions().forEach(p -> tag(p.unknownTaggedFields(), 10000, "p".repeat(130)));
            });
            return m;
        });
        return new Response(ApiKeys.METADATA, v, Optional.of(m -> ((MetadataResponseData) m).brokers()
                .forEach(b -> b.setHost(HOST).setPort(port(b.nodeId())))));
    }

    private static MetadataResponseData metadataTypical(int version) {
        var topics = new MetadataResponseData.MetadataResponseTopicCollection();
        topics.add(new MetadataResponseData.MetadataResponseTopic().setName("orders").setTopicId(ORDERS_ID).setPartitions(List.of(
                metadataPartition(0, 1, List.of(1, 2, 3), List.of(1, 2, 3)),
                metadataPartition(1, 2, List.of(2, 3, 1), List.of(2)).setOfflineReplicas(List.of(3)))));
        topics.add(new MetadataResponseData.MetadataResponseTopic().setName("__consumer_offsets").setTopicId(PAYMENTS_ID).setIsInternal(true)
                .setPartitions(List.of(metadataPartition(0, 3, List.of(3), List.of(3))))
                .setTopicAuthorizedOperations(version >= 8 ? 0x0df8 : Integer.MIN_VALUE));
        return new MetadataResponseData().setThrottleTimeMs(7).setClusterId("pPS0jWb_TnWzGfLYUNfIzg").setControllerId(2)
                .setBrokers(metadataBrokers(broker(1, "rack1"), broker(2, "rack2"), broker(3, null))).setTopics(topics)
                .setClusterAuthorizedOperations(version >= 8 && version <= 10 ? 0x0100 : Integer.MIN_VALUE);
    }

    private static MetadataResponseData.MetadataResponseBroker broker(int id, String rack) {
        return new MetadataResponseData.MetadataResponseBroker().setNodeId(id).setHost(upstreamHost(id)).setPort(upstreamPort(id)).setRack(rack);
    }

    private static MetadataResponseData.MetadataResponseBrokerCollection metadataBrokers(MetadataResponseData.MetadataResponseBroker... brokers) {
        var c = new MetadataResponseData.MetadataResponseBrokerCollection();
        c.addAll(Arrays.asList(brokers));
        return c;
    }

    private static MetadataResponseData.MetadataResponsePartition metadataPartition(int index, int leader, List<Integer> replicas, List<Integer> isr) {
        return new MetadataResponseData.MetadataResponsePartition().setPartitionIndex(index).setLeaderId(leader).setLeaderEpoch(4)
                .setReplicaNodes(replicas).setIsrNodes(isr);
    }

    private static Response findCoordinator() {
        var v = new LinkedHashMap<String, IntFunction<ApiMessage>>();
        v.put("typical", version -> coordinators(version, coordinator("group-a", 2)));
        v.put("error", version -> coordinators(version, noCoordinator("group-a", 15, "The coordinator is not available.")));
        v.put("error-null-message", version -> coordinators(version, noCoordinator("group-a", 16, null)));
        v.put("outside-the-range", version -> coordinators(version, coordinator("group-a", 100)));
        v.put("long-host", version -> coordinators(version, coordinator("group-a", 3).setHost("h".repeat(200))));
        v.put("several", version -> version < 4 ? null : coordinators(version, coordinator("group-a", 0), coordinator("", 99),
                noCoordinator("gruppe-ü", 30, "Zugriff verweigert: ü"), coordinator("txn-1", 1)));
        v.put("empty", version -> version < 4 ? null : coordinators(version));
        v.put("tagged", version -> {
            if (version < 3) {
                return null;
            }
            var m = coordinators(version, coordinator("group-a", 2));
            tag(m.unknownTaggedFields(), 10000, "top");
            m.coordinators().forEach(c -> tag(c.unknownTaggedFields(), 10000, "pod-" + c.nodeId()));
            return m;
        });
        return new Response(ApiKeys.FIND_COORDINATOR, v, Optional.of(message -> {
            var m = (FindCoordinatorResponseData) message;
            if (m.nodeId() != -1 && !m.host().isEmpty()) {
                m.setHost(HOST).setPort(port(m.nodeId()));
            }
            m.coordinators().stream().filter(c -> c.nodeId() != -1).forEach(c -> c.setHost(HOST).setPort(port(c.nodeId())));
        }));
    }

    private static FindCoordinatorResponseData.Coordinator coordinator(String key, int id) {
        return new FindCoordinatorResponseData.Coordinator().setKey(key).setNodeId(id).setHost(upstreamHost(id)).setPort(upstreamPort(id))
                .setErrorMessage("");
    }

    private static FindCoordinatorResponseData.Coordinator noCoordinator(String key, int error, String message) {
        return new FindCoordinatorResponseData.Coordinator().setKey(key).setNodeId(-1).setHost("").setPort(-1)
                .setErrorCode((short) error).setErrorMessage(message);
    }

    /** Before version 4 the response tells of one coordinator, at the top level and without its key. */
    private static FindCoordinatorResponseData coordinators(int version, FindCoordinatorResponseData.Coordinator... found) {
        var m = new FindCoordinatorResponseData().setThrottleTimeMs(3);
        if (version >= 4) {
            return m.setCoordinators(List.of(found));
        }
        var c = found[0];
        return m.setNodeId(c.nodeId()).setHost(c.host()).setPort(c.port()).setErrorCode(c.errorCode()).setErrorMessage(c.errorMessage());
    }

    private static Response describeCluster() {
        var v = new LinkedHashMap<String, IntFunction<ApiMessage>>();
        v.put("typical", version -> clusterOf(1, clusterBroker(1, "rack1"), clusterBroker(2, "rack2").setIsFenced(version >= 2), clusterBroker(3, null)));
        v.put("empty", version -> clusterOf(1));
        v.put("outside-the-range", version -> clusterOf(1, clusterBroker(100, ""), clusterBroker(0, "")));
        v.put("error", version -> new DescribeClusterResponseData().setErrorCode((short) 31).setErrorMessage("Cluster authorization failed."));
        v.put("error-null-message", version -> new DescribeClusterResponseData().setErrorCode((short) 42));
        v.put("controllers", version -> version < 1 ? null : clusterOf(2, clusterBroker(1, null)));
        v.put("tagged", version -> {
            var m = clusterOf(1, clusterBroker(1, "rack1"), clusterBroker(2, null));
            tag(m.unknownTaggedFields(), 10000, "top");
            m.brokers().forEach(b -> tag(b.unknownTaggedFields(), 10000, "pod-" + b.brokerId()));
            return m;
        });
        return new Response(ApiKeys.DESCRIBE_CLUSTER, v, Optional.of(message -> {
            var m = (DescribeClusterResponseData) message;
            if (m.endpointType() == 1) {
                m.brokers().forEach(b -> b.setHost(HOST).setPort(port(b.brokerId())));
            }
        }));
    }

    private static DescribeClusterResponseData clusterOf(int endpointType, DescribeClusterResponseData.DescribeClusterBroker... brokers) {
        var c = new DescribeClusterResponseData.DescribeClusterBrokerCollection();
        c.addAll(Arrays.asList(brokers));
        return new DescribeClusterResponseData().setClusterId("pPS0jWb_TnWzGfLYUNfIzg").setControllerId(1)
                .setEndpointType((byte) endpointType).setBrokers(c);
    }

    private static DescribeClusterResponseData.DescribeClusterBroker clusterBroker(int id, String rack) {
        return new DescribeClusterResponseData.DescribeClusterBroker().setBrokerId(id).setHost(upstreamHost(id)).setPort(upstreamPort(id)).setRack(rack);
    }

    private static Response produce() {
        var v = new LinkedHashMap<String, IntFunction<ApiMessage>>();
        v.put("typical", version -> produced(version, producePartition(0), producePartition(1).setLogAppendTimeMs(1_700_000_000_000L)));
        v.put("empty", version -> new ProduceResponseData());
        v.put("record-errors", version -> produced(version, producePartition(0).setErrorCode((short) 87).setBaseOffset(-1)
                .setErrorMessage("One or more records have been rejected").setRecordErrors(List.of(
                        new ProduceResponseData.BatchIndexAndErrorMessage().setBatchIndex(0).setBatchIndexErrorMessage("zu groß"),
                        new ProduceResponseData.BatchIndexAndErrorMessage().setBatchIndex(2)))));
        v.put("leader-without-endpoints", version -> version < 10 ? null : produced(version, notLeader(0, 2)));
        v.put("endpoints", version -> version < 10 ? null : produced(version, producePartition(0), notLeader(1, 2))
                .setNodeEndpoints(produceEndpoints(2)));
        v.put("endpoints-several", version -> version < 10 ? null : produced(version, notLeader(0, 1), notLeader(1, 100))
                .setNodeEndpoints(produceEndpoints(1, 100, 0, 99)));
        v.put("endpoints-long-host", version -> {
            if (version < 10) {
                return null;
            }
            var m = produced(version, notLeader(0, 2)).setNodeEndpoints(produceEndpoints(2));
            m.nodeEndpoints().forEach(e -> e.setHost("h".repeat(200)).setRack(null));
            return m;
        });
        v.put("tagged", version -> version < 9 ? null : produceTagged(produced(version, producePartition(0))));
        v.put("endpoints-tagged", version -> version < 10 ? null
                : produceTagged(produced(version, notLeader(0, 2)).setNodeEndpoints(produceEndpoints(2, 3))));
        return new Response(ApiKeys.PRODUCE, v, Optional.of(m -> ((ProduceResponseData) m).nodeEndpoints()
                .forEach(e -> e.setHost(HOST).setPort(port(e.nodeId())))));
    }

    private static ProduceResponseData produced(int version, ProduceResponseData.PartitionProduceResponse... partitions) {
        var topics = new ProduceResponseData.TopicProduceResponseCollection();
        topics.add(new ProduceResponseData.TopicProduceResponse().setName(version < 13 ? "orders" : "")
                .setTopicId(version < 13 ? Uuid.ZERO_UUID : ORDERS_ID).setPartitionResponses(List.of(partitions)));
        return new ProduceResponseData().setThrottleTimeMs(11).setResponses(topics);
    }

    private static ProduceResponseData.PartitionProduceResponse producePartition(int index) {
        return new ProduceResponseData.PartitionProduceResponse().setIndex(index).setBaseOffset(1L << 33).setLogStartOffset(12);
    }

    private static ProduceResponseData.PartitionProduceResponse notLeader(int index, int leader) {
        return producePartition(index).setErrorCode((short) 6).setBaseOffset(-1).setLogStartOffset(-1)
                .setCurrentLeader(new ProduceResponseData.LeaderIdAndEpoch().setLeaderId(leader).setLeaderEpoch(9));
    }

    private static ProduceResponseData.NodeEndpointCollection produceEndpoints(int... ids) {
        var c = new ProduceResponseData.NodeEndpointCollection();
        Arrays.stream(ids).forEach(id -> c.add(new ProduceResponseData.NodeEndpoint().setNodeId(id).setHost(upstreamHost(id))
                .setPort(upstreamPort(id)).setRack("rack" + id)));
        return c;
    }

    private static ProduceResponseData produceTagged(ProduceResponseData m) {
        tag(m.unknownTaggedFields(), 31, "top");
        tag(m.unknownTaggedFields(), 10000, "");
        m.nodeEndpoints().forEach(e -> tag(e.unknownTaggedFields(), 10000, "pod-" + e.nodeId()));
        m.responses().forEach(t -> {
            tag(t.unknownTaggedFields(), 10000, "topic");
            t.partitionResponses().forEach(p -> tag(p.unknownTaggedFields(), 10000, "partition"));
        });
        return m;
    }

    private static Response fetch() {
        var v = new LinkedHashMap<String, IntFunction<ApiMessage>>();
        v.put("typical", version -> fetched(version, fetchPartition(0).setRecords(records(3, 20)), fetchPartition(1).setRecords(records(1, 5))));
        v.put("large", version -> fetched(version, fetchPartition(0).setRecords(records(20, 120))));
        v.put("empty", version -> new FetchResponseData().setSessionId(version >= 7 ? 77 : 0));
        v.put("session-error", version -> version < 7 ? null : new FetchResponseData().setErrorCode((short) 70));
        v.put("null-records", version -> fetched(version, fetchPartition(0).setRecords(null), fetchPartition(1).setRecords(records(1, 5))));
        v.put("empty-records", version -> fetched(version, fetchPartition(0), fetchPartition(1)));
        v.put("aborted-null", version -> fetched(version, fetchPartition(0).setAbortedTransactions(null).setRecords(records(1, 5))));
        v.put("aborted-some", version -> fetched(version, fetchPartition(0).setRecords(records(1, 5)).setAbortedTransactions(List.of(
                new FetchResponseData.AbortedTransaction().setProducerId(1000).setFirstOffset(4),
                new FetchResponseData.AbortedTransaction().setProducerId(1L << 40).setFirstOffset(5)))));
        v.put("partition-errors", version -> fetched(version, fetchPartition(0).setErrorCode((short) 3).setHighWatermark(-1).setRecords(null),
                fetchPartition(1).setErrorCode((short) 1)));
        v.put("several-topics", version -> {
            var m = fetched(version, fetchPartition(0).setRecords(records(2, 10)), fetchPartition(7));
            var topics = new ArrayList<>(m.responses());
            topics.add(fetchTopic(version, "payments", PAYMENTS_ID, fetchPartition(2).setRecords(records(1, 1))));
            topics.add(fetchTopic(version, "drained", new Uuid(5, 6)));
            return m.setResponses(topics);
        });
        v.put("known-partition-tags", version -> version < 12 ? null : fetched(version, fetchPartition(0)
                .setDivergingEpoch(new FetchResponseData.EpochEndOffset().setEpoch(3).setEndOffset(90))
                .setCurrentLeader(new FetchResponseData.LeaderIdAndEpoch().setLeaderId(2).setLeaderEpoch(9))
                .setSnapshotId(new FetchResponseData.SnapshotId().setEpoch(2).setEndOffset(80))));
        v.put("endpoints", version -> version < 16 ? null : fetched(version, fetchMoved(0, 2), fetchPartition(1).setRecords(records(2, 30)))
                .setNodeEndpoints(fetchEndpoints(2)));
        v.put("endpoints-several", version -> version < 16 ? null : fetched(version, fetchMoved(0, 1), fetchMoved(1, 100))
                .setNodeEndpoints(fetchEndpoints(1, 100, 0, 99)));
        v.put("endpoints-long-host", version -> {
            if (version < 16) {
                return null;
            }
            var m = fetched(version, fetchMoved(0, 2)).setNodeEndpoints(fetchEndpoints(2));
            m.nodeEndpoints().forEach(e -> e.setHost("h".repeat(200)).setRack(null));
            return m;
        });
        v.put("tagged", version -> version < 12 ? null : fetchTagged(fetched(version, fetchPartition(0).setRecords(records(1, 5)))));
        v.put("endpoints-tagged", version -> version < 16 ? null : fetchTagged(fetched(version, fetchMoved(0, 2),
                fetchPartition(1).setRecords(records(1, 5))).setNodeEndpoints(fetchEndpoints(2, 3))));
        return new Response(ApiKeys.FETCH, v, Optional.of(m -> ((FetchResponseData) m).nodeEndpoints()
                .forEach(e -> e.setHost(HOST).setPort(port(e.nodeId())))));
    }

    private static FetchResponseData fetched(int version, FetchResponseData.PartitionData... partitions) {
        for (var p : partitions) {
            p.setPreferredReadReplica(version >= 11 && p.partitionIndex() == 1 ? 3 : -1);
        }
        return new FetchResponseData().setThrottleTimeMs(5).setSessionId(version >= 7 ? 0x12345678 : 0)
                .setResponses(List.of(fetchTopic(version, "orders", ORDERS_ID, partitions)));
    }

    private static FetchResponseData.FetchableTopicResponse fetchTopic(int version, String name, Uuid id, FetchResponseData.PartitionData... partitions) {
        return new FetchResponseData.FetchableTopicResponse().setTopic(version < 13 ? name : "")
                .setTopicId(version < 13 ? Uuid.ZERO_UUID : id).setPartitions(List.of(partitions));
    }

    private static FetchResponseData.PartitionData fetchPartition(int index) {
        return new FetchResponseData.PartitionData().setPartitionIndex(index).setHighWatermark(1000).setLastStableOffset(990)
                .setLogStartOffset(10).setRecords(MemoryRecords.EMPTY);
    }

    private static FetchResponseData.PartitionData fetchMoved(int index, int leader) {
        return fetchPartition(index).setErrorCode((short) 6).setHighWatermark(-1)
                .setCurrentLeader(new FetchResponseData.LeaderIdAndEpoch().setLeaderId(leader).setLeaderEpoch(9));
    }

    private static FetchResponseData.NodeEndpointCollection fetchEndpoints(int... ids) {
        var c = new FetchResponseData.NodeEndpointCollection();
        Arrays.stream(ids).forEach(id -> c.add(new FetchResponseData.NodeEndpoint().setNodeId(id).setHost(upstreamHost(id))
                .setPort(upstreamPort(id)).setRack("rack" + id)));
        return c;
    }

    private static FetchResponseData fetchTagged(FetchResponseData m) {
        tag(m.unknownTaggedFields(), 31, "top");
        tag(m.unknownTaggedFields(), 10000, "");
        m.nodeEndpoints().forEach(e -> tag(e.unknownTaggedFields(), 10000, "pod-" + e.nodeId()));
        m.responses().forEach(t -> {
            tag(t.unknownTaggedFields(), 10000, "topic");
            t.partitions().forEach(p -> tag(p.unknownTaggedFields(), 10000, "partition"));
        });
        return m;
    }

    private static Response shareFetch() {
        var v = new LinkedHashMap<String, IntFunction<ApiMessage>>();
        v.put("typical", version -> shareFetched(sharePartition(0).setRecords(records(3, 20)).setAcquiredRecords(List.of(
                new ShareFetchResponseData.AcquiredRecords().setFirstOffset(0).setLastOffset(2).setDeliveryCount((short) 1))), sharePartition(1)));
        v.put("empty", version -> new ShareFetchResponseData());
        v.put("error", version -> new ShareFetchResponseData().setErrorCode((short) 122).setErrorMessage("no such share session"));
        v.put("partition-errors", version -> shareFetched(sharePartition(0).setErrorCode((short) 3).setErrorMessage("unknown")
                .setAcknowledgeErrorCode((short) 121).setAcknowledgeErrorMessage("")));
        v.put("endpoints", version -> shareFetched(shareMoved(0, 2)).setNodeEndpoints(shareFetchEndpoints(2)));
        v.put("endpoints-several", version -> shareFetched(shareMoved(0, 1), shareMoved(1, 100), sharePartition(2).setRecords(records(1, 40)))
                .setNodeEndpoints(shareFetchEndpoints(1, 100, 0, 99)));
        v.put("endpoints-tagged", version -> {
            var m = shareFetched(shareMoved(0, 2)).setNodeEndpoints(shareFetchEndpoints(2, 3));
            tag(m.unknownTaggedFields(), 10000, "top");
            m.nodeEndpoints().forEach(e -> tag(e.unknownTaggedFields(), 10000, "pod-" + e.nodeId()));
            m.responses().forEach(t -> {
                tag(t.unknownTaggedFields(), 10000, "topic");
                t.partitions().forEach(p -> {
                    tag(p.unknownTaggedFields(), 10000, "partition");
                    tag(p.currentLeader().unknownTaggedFields(), 10000, "leader");
                });
            });
            return m;
        });
        return new Response(ApiKeys.SHARE_FETCH, v, Optional.of(m -> ((ShareFetchResponseData) m).nodeEndpoints()
                .forEach(e -> e.setHost(HOST).setPort(port(e.nodeId())))));
    }

    private static ShareFetchResponseData shareFetched(ShareFetchResponseData.PartitionData... partitions) {
        var topics = new ShareFetchResponseData.ShareFetchableTopicResponseCollection();
        topics.add(new ShareFetchResponseData.ShareFetchableTopicResponse().setTopicId(ORDERS_ID).setPartitions(List.of(partitions)));
        return new ShareFetchResponseData().setThrottleTimeMs(2).setAcquisitionLockTimeoutMs(30000).setResponses(topics);
    }

    private static ShareFetchResponseData.PartitionData sharePartition(int index) {
        return new ShareFetchResponseData.PartitionData().setPartitionIndex(index).setRecords(MemoryRecords.EMPTY);
    }

    private static ShareFetchResponseData.PartitionData shareMoved(int index, int leader) {
        return sharePartition(index).setErrorCode((short) 6)
                .setCurrentLeader(new ShareFetchResponseData.LeaderIdAndEpoch().setLeaderId(leader).setLeaderEpoch(9));
    }

    private static ShareFetchResponseData.NodeEndpointCollection shareFetchEndpoints(int... ids) {
        var c = new ShareFetchResponseData.NodeEndpointCollection();
        Arrays.stream(ids).forEach(id -> c.add(new ShareFetchResponseData.NodeEndpoint().setNodeId(id).setHost(upstreamHost(id))
                .setPort(upstreamPort(id)).setRack(id == 2 ? null : "rack" + id)));
        return c;
    }

    private static Response shareAcknowledge() {
        var v = new LinkedHashMap<String, IntFunction<ApiMessage>>();
        v.put("typical", version -> acknowledged(acknowledgedPartition(0), acknowledgedPartition(1)));
        v.put("empty", version -> new ShareAcknowledgeResponseData());
        v.put("error", version -> new ShareAcknowledgeResponseData().setErrorCode((short) 123).setErrorMessage("stale epoch"));
        v.put("endpoints", version -> acknowledged(acknowledgementMoved(0, 2)).setNodeEndpoints(acknowledgeEndpoints(2)));
        v.put("endpoints-several", version -> acknowledged(acknowledgementMoved(0, 1), acknowledgementMoved(1, 100))
                .setNodeEndpoints(acknowledgeEndpoints(1, 100, 0, 99)));
        v.put("endpoints-tagged", version -> {
            var m = acknowledged(acknowledgementMoved(0, 2)).setNodeEndpoints(acknowledgeEndpoints(2, 3));
            tag(m.unknownTaggedFields(), 10000, "top");
            m.nodeEndpoints().forEach(e -> tag(e.unknownTaggedFields(), 10000, "pod-" + e.nodeId()));
            m.responses().forEach(t -> t.partitions().forEach(p -> tag(p.unknownTaggedFields(), 10000, "partition")));
            return m;
        });
        return new Response(ApiKeys.SHARE_ACKNOWLEDGE, v, Optional.of(m -> ((ShareAcknowledgeResponseData) m).nodeEndpoints()
                .forEach(e -> e.setHost(HOST).setPort(port(e.nodeId())))));
    }

    private static ShareAcknowledgeResponseData acknowledged(ShareAcknowledgeResponseData.PartitionData... partitions) {
        var topics = new ShareAcknowledgeResponseData.ShareAcknowledgeTopicResponseCollection();
        topics.add(new ShareAcknowledgeResponseData.ShareAcknowledgeTopicResponse().setTopicId(ORDERS_ID).setPartitions(List.of(partitions)));
        return new ShareAcknowledgeResponseData().setThrottleTimeMs(2).setAcquisitionLockTimeoutMs(30000).setResponses(topics);
    }

    private static ShareAcknowledgeResponseData.PartitionData acknowledgedPartition(int index) {
        return new ShareAcknowledgeResponseData.PartitionData().setPartitionIndex(index);
    }

    private static ShareAcknowledgeResponseData.PartitionData acknowledgementMoved(int index, int leader) {
        return acknowledgedPartition(index).setErrorCode((short) 6).setErrorMessage("moved")
                .setCurrentLeader(new ShareAcknowledgeResponseData.LeaderIdAndEpoch().setLeaderId(leader).setLeaderEpoch(9));
    }

    private static ShareAcknowledgeResponseData.NodeEndpointCollection acknowledgeEndpoints(int... ids) {
        var c = new ShareAcknowledgeResponseData.NodeEndpointCollection();
        Arrays.stream(ids).forEach(id -> c.add(new ShareAcknowledgeResponseData.NodeEndpoint().setNodeId(id).setHost(upstreamHost(id))
                .setPort(upstreamPort(id)).setRack(id == 2 ? null : "rack" + id)));
        return c;
    }

    private static Response describeQuorum() {
        var v = new LinkedHashMap<String, IntFunction<ApiMessage>>();
        v.put("typical", version -> quorum(version, quorumNode(1, "CONTROLLER"), quorumNode(2, "CONTROLLER", "CONTROLLER_TLS")));
        v.put("empty", version -> new DescribeQuorumResponseData());
        v.put("error", version -> new DescribeQuorumResponseData().setErrorCode((short) 31).setErrorMessage("not allowed"));
        v.put("nodes-without-listeners", version -> version < 2 ? null : quorum(version, quorumNode(1)));
        v.put("tagged", version -> {
            var m = quorum(version, quorumNode(1, "CONTROLLER"));
            tag(m.unknownTaggedFields(), 10000, "top");
            m.nodes().forEach(n -> tag(n.unknownTaggedFields(), 10000, "pod-" + n.nodeId()));
            m.topics().forEach(t -> t.partitions().forEach(p -> tag(p.unknownTaggedFields(), 10000, "partition")));
            return m;
        });
        return new Response(ApiKeys.DESCRIBE_QUORUM, v, Optional.of(m -> ((DescribeQuorumResponseData) m).nodes()
                .forEach(n -> n.setListeners(new DescribeQuorumResponseData.ListenerCollection()))));
    }

    private static DescribeQuorumResponseData quorum(int version, DescribeQuorumResponseData.Node... nodes) {
        var partition = new DescribeQuorumResponseData.PartitionData().setLeaderId(1).setLeaderEpoch(5).setHighWatermark(4711)
                .setCurrentVoters(List.of(replica(version, 1), replica(version, 2))).setObservers(List.of(replica(version, 3)));
        var m = new DescribeQuorumResponseData().setTopics(List.of(new DescribeQuorumResponseData.TopicData()
                .setTopicName("__cluster_metadata").setPartitions(List.of(partition))));
        if (version >= 2) {
            Arrays.stream(nodes).forEach(m.nodes()::add);
        }
        return m;
    }

    private static DescribeQuorumResponseData.ReplicaState replica(int version, int id) {
        return new DescribeQuorumResponseData.ReplicaState().setReplicaId(id).setLogEndOffset(4712)
                .setReplicaDirectoryId(version >= 2 ? new Uuid(9, id) : Uuid.ZERO_UUID).setLastFetchTimestamp(1_700_000_000_000L);
    }

    private static DescribeQuorumResponseData.Node quorumNode(int id, String... names) {
        var listeners = new DescribeQuorumResponseData.ListenerCollection();
        Arrays.stream(names).forEach(name -> listeners.add(new DescribeQuorumResponseData.Listener().setName(name)
                .setHost(upstreamHost(id)).setPort(upstreamPort(id))));
        return new DescribeQuorumResponseData.Node().setNodeId(id).setListeners(listeners);
    }

    /** Settings of a broker whose values are addresses; the rule shows them as null. */
    private static final List<String> ADDRESS_SETTINGS = List.of("listeners", "advertised.listeners", "controller.quorum.voters");

    private static Response describeConfigs() {
        var v = new LinkedHashMap<String, IntFunction<ApiMessage>>();
        v.put("typical", version -> configs(setting(version, "advertised.listeners", "PLAINTEXT://" + upstreamHost(1) + ":9092"),
                setting(version, "log.dirs", "/var/lib/kafka"), setting(version, "listeners", null),
                setting(version, "controller.quorum.voters", "1@" + upstreamHost(1) + ":9093")));
        v.put("topic", version -> configs(setting(version, "retention.ms", "604800000"), setting(version, "cleanup.policy", "delete")));
        v.put("empty", version -> new DescribeConfigsResponseData());
        v.put("error", version -> new DescribeConfigsResponseData().setResults(List.of(
                new DescribeConfigsResponseData.DescribeConfigsResult().setErrorCode((short) 29).setErrorMessage("not allowed")
                        .setResourceType((byte) 4).setResourceName("1"))));
        return new Response(ApiKeys.DESCRIBE_CONFIGS, v, Optional.of(m -> ((DescribeConfigsResponseData) m).results().stream()
                .flatMap(r -> r.configs().stream()).forEach(c -> {
                    if (ADDRESS_SETTINGS.contains(c.name())) {
                        c.setValue(null);
                    }
                    c.synonyms().stream().filter(s -> ADDRESS_SETTINGS.contains(s.name())).forEach(s -> s.setValue(null));
                })));
    }

    private static DescribeConfigsResponseData configs(DescribeConfigsResponseData.DescribeConfigsResourceResult... settings) {
        return new DescribeConfigsResponseData().setResults(List.of(new DescribeConfigsResponseData.DescribeConfigsResult()
                .setResourceType((byte) 4).setResourceName("1").setConfigs(List.of(settings))));
    }

    private static DescribeConfigsResponseData.DescribeConfigsResourceResult setting(int version, String name, String value) {
        var m = new DescribeConfigsResponseData.DescribeConfigsResourceResult().setName(name).setValue(value).setConfigSource((byte) 4)
                .setSynonyms(List.of(new DescribeConfigsResponseData.DescribeConfigsSynonym().setName(name).setValue(value).setSource((byte) 4)));
        return version < 3 ? m : m.setConfigType((byte) 2).setDocumentation("what it does");
    }

    private static Response apiVersions() {
        var v = new LinkedHashMap<String, IntFunction<ApiMessage>>();
        v.put("broker", version -> {
            var m = new ApiVersionsResponseData();
            ApiKeys.brokerApis().forEach(api -> api.toApiVersionForApiResponse(false, ListenerType.BROKER).ifPresent(m.apiKeys()::add));
            return m;
        });
        v.put("features", version -> {
            var m = versions(0, 3, 18).setThrottleTimeMs(4).setFinalizedFeaturesEpoch(12).setZkMigrationReady(true);
            m.supportedFeatures().add(new ApiVersionsResponseData.SupportedFeatureKey().setName("metadata.version").setMinVersion((short) 7).setMaxVersion((short) 29));
            m.supportedFeatures().add(new ApiVersionsResponseData.SupportedFeatureKey().setName("share.version").setMinVersion((short) (version >= 4 ? 0 : 1)).setMaxVersion((short) 1));
            m.finalizedFeatures().add(new ApiVersionsResponseData.FinalizedFeatureKey().setName("metadata.version").setMinVersionLevel((short) 25).setMaxVersionLevel((short) 25));
            return m;
        });
        v.put("vendor-keys", version -> versions(18, 10000, 10001, 32767));
        v.put("unsupported-version", version -> versions(18).setErrorCode((short) 35));
        v.put("unsupported-version-empty", version -> new ApiVersionsResponseData().setErrorCode((short) 35));
        v.put("tagged", version -> {
            if (version < 3) {
                return null;
            }
            var m = versions(0, 18);
            tag(m.unknownTaggedFields(), 31, "top");
            tag(m.unknownTaggedFields(), 10000, "");
            m.apiKeys().forEach(k -> tag(k.unknownTaggedFields(), 10000, "key-" + k.apiKey()));
            return m;
        });
        return new Response(ApiKeys.API_VERSIONS, v, Optional.empty());
    }

    private static ApiVersionsResponseData versions(int... keys) {
        var m = new ApiVersionsResponseData();
        Arrays.stream(keys).forEach(k -> m.apiKeys().add(new ApiVersionsResponseData.ApiVersion().setApiKey((short) k)
                .setMinVersion((short) 0).setMaxVersion((short) (k % 20))));
        return m;
    }

    // ---- requests

    private static Map<String, IntFunction<ApiMessage>> apiVersionsRequests() {
        var v = new LinkedHashMap<String, IntFunction<ApiMessage>>();
        v.put("typical", version -> new ApiVersionsRequestData().setClientSoftwareName("apache-kafka-java").setClientSoftwareVersion("4.3.1"));
        v.put("nameless", version -> version < 3 ? null : new ApiVersionsRequestData());
        return v;
    }

    private static Map<String, IntFunction<ApiMessage>> saslHandshakeRequests() {
        var v = new LinkedHashMap<String, IntFunction<ApiMessage>>();
        for (String mechanism : List.of("PLAIN", "SCRAM-SHA-256", "")) {
            v.put(mechanism.isEmpty() ? "empty" : mechanism, version -> new SaslHandshakeRequestData().setMechanism(mechanism));
        }
        return v;
    }

    private static Map<String, IntFunction<ApiMessage>> metadataRequests() {
        var v = new LinkedHashMap<String, IntFunction<ApiMessage>>();
        v.put("all-topics", version -> new MetadataRequestData().setTopics(version >= 1 ? null : List.of()));
        v.put("no-topics", version -> new MetadataRequestData().setTopics(List.of()).setAllowAutoTopicCreation(version < 4));
        v.put("two-topics", version -> new MetadataRequestData().setTopics(List.of(
                new MetadataRequestData.MetadataRequestTopic().setName("orders"), new MetadataRequestData.MetadataRequestTopic().setName("payments")))
                .setIncludeTopicAuthorizedOperations(version >= 8));
        v.put("by-id", version -> version < 12 ? null : new MetadataRequestData().setTopics(List.of(
                new MetadataRequestData.MetadataRequestTopic().setName(null).setTopicId(ORDERS_ID))));
        return v;
    }

    private static Map<String, IntFunction<ApiMessage>> fetchRequests() {
        var v = new LinkedHashMap<String, IntFunction<ApiMessage>>();
        v.put("full", version -> new FetchRequestData().setMaxWaitMs(500).setMinBytes(1).setMaxBytes(50 << 20).setSessionEpoch(0)
                .setRackId("rack1").setTopics(List.of(new FetchRequestData.FetchTopic().setTopic("orders").setTopicId(ORDERS_ID)
                        .setPartitions(List.of(new FetchRequestData.FetchPartition().setPartition(0).setCurrentLeaderEpoch(4)
                                .setFetchOffset(123).setPartitionMaxBytes(1 << 20))))));
        v.put("incremental", version -> version < 7 ? null : new FetchRequestData().setMaxWaitMs(500).setMinBytes(1).setIsolationLevel((byte) 1)
                .setSessionId(0x12345678).setSessionEpoch(9).setForgottenTopicsData(List.of(new FetchRequestData.ForgottenTopic()
                        .setTopic("payments").setTopicId(PAYMENTS_ID).setPartitions(List.of(0, 2)))));
        return v;
    }

    private static final String REQUEST_COLUMNS = "version, variant, request, (no expected frame), api key, acks, transactional id, client id; "
            + "a text is quoted or null, '-' is what the api does not have";

    private static void writeProduceRequests(Path out) throws Exception {
        var lines = new ArrayList<String>();
        for (short version : stableVersions(ApiKeys.PRODUCE)) {
            for (String transaction : Arrays.asList(null, "", "txn-ü-1")) {
                for (short acks : List.of((short) 0, (short) 1, (short) -1)) {
                    var topics = new ProduceRequestData.TopicProduceDataCollection();
                    topics.add(new ProduceRequestData.TopicProduceData().setName(version < 13 ? "orders" : "")
                            .setTopicId(version < 13 ? Uuid.ZERO_UUID : ORDERS_ID).setPartitionData(List.of(
                                    new ProduceRequestData.PartitionProduceData().setIndex(1).setRecords(records(1, 4)))));
                    var m = new ProduceRequestData().setTransactionalId(transaction).setAcks(acks).setTimeoutMs(30000).setTopicData(topics);
                    lines.addAll(requestLines(ApiKeys.PRODUCE, version, "records", m, Short.toString(acks), quoted(transaction), lines.size()));
                }
            }
        }
        write(out, ApiKeys.PRODUCE, "request", REQUEST_COLUMNS, lines);
    }

    private static void writeRequests(Path out, ApiKeys api, Map<String, IntFunction<ApiMessage>> variants) throws Exception {
        var lines = new ArrayList<String>();
        for (short version : stableVersions(api)) {
            for (var variant : variants.entrySet()) {
                ApiMessage m = variant.getValue().apply(version);
                if (m != null) {
                    lines.addAll(requestLines(api, version, variant.getKey(), m, "-", "-", lines.size()));
                }
            }
        }
        write(out, api, "request", REQUEST_COLUMNS, lines);
    }

    /** One message behind every header: client id null, empty and set, without and (where there is room) with unknown tags. */
    private static List<String> requestLines(ApiKeys api, short version, String variant, ApiMessage m, String acks, String transaction, int correlation) {
        short headerVersion = api.requestHeaderVersion(version);
        var lines = new ArrayList<String>();
        for (String client : Arrays.asList(null, "", "client-1")) {
            for (boolean tagged : headerVersion < 2 ? List.of(false) : List.of(false, true)) {
                var header = new RequestHeaderData().setRequestApiKey(api.id).setRequestApiVersion(version)
                        .setCorrelationId(correlation + lines.size() + 1).setClientId(client);
                if (tagged) {
                    tag(header.unknownTaggedFields(), 0, "first");
                    tag(header.unknownTaggedFields(), 10000, "t".repeat(140));
                }
                String frame = frame(header, headerVersion, m, version, new RequestHeaderData(), api.messageType.newRequest());
                lines.add(String.join("\t", Short.toString(version), variant + (tagged ? "+header-tagged" : ""), frame, "",
                        Short.toString(api.id), acks, transaction, quoted(client)));
            }
        }
        return lines;
    }

    private static String quoted(String text) {
        return text == null ? "null" : '"' + text + '"';
    }

    // ---- writing

    private static void writeResponses(Path out, Response r) throws Exception {
        var lines = new ArrayList<String>();
        for (short version : stableVersions(r.api)) {
            for (var variant : r.variants.entrySet()) {
                if (variant.getValue().apply(version) != null) {
                    lines.add(responseLine(r, version, variant.getKey(), variant.getValue(), false, lines.size() + 1));
                }
            }
            if (r.api.responseHeaderVersion(version) >= 1) {
                lines.add(responseLine(r, version, "typical+header-tagged", r.variants.get("typical"), true, lines.size() + 1));
            }
        }
        write(out, r.api, "response", "version, variant, response of the upstream, " + (r.rule.isPresent()
                ? "the same as the proxy's client must see it" : "(no expected frame: it depends on the proxy's own versions)"), lines);
    }

    private static String responseLine(Response r, short version, String name, IntFunction<ApiMessage> variant, boolean tagged, int correlation) {
        String expected = r.rule.map(rule -> {
            ApiMessage mapped = variant.apply(version);
            rule.accept(mapped);
            return responseFrame(r.api, version, mapped, tagged, correlation);
        }).orElse("");
        return String.join("\t", Short.toString(version), name, responseFrame(r.api, version, variant.apply(version), tagged, correlation), expected);
    }

    private static String responseFrame(ApiKeys api, short version, ApiMessage m, boolean tagged, int correlation) {
        var header = new ResponseHeaderData().setCorrelationId(correlation);
        if (tagged) {
            tag(header.unknownTaggedFields(), 0, "first");
            tag(header.unknownTaggedFields(), 10000, "t".repeat(140));
        }
        return frame(header, api.responseHeaderVersion(version), m, version, new ResponseHeaderData(), api.messageType.newResponse());
    }

    /** The frame in hex, once it has been read into the two fresh messages and has come out of them unchanged. */
    private static String frame(ApiMessage header, short headerVersion, ApiMessage m, short version, ApiMessage freshHeader, ApiMessage fresh) {
        ByteBuffer frame = RequestUtils.serialize(header, headerVersion, m, version);
        var reader = new ByteBufferAccessor(frame.duplicate());
        freshHeader.read(reader, headerVersion);
        fresh.read(reader, version);
        if (reader.remaining() != 0 || !RequestUtils.serialize(freshHeader, headerVersion, fresh, version).equals(frame)) {
            throw new IllegalStateException("not read back as written: " + m);
        }
        return HexFormat.of().formatHex(frame.array(), frame.arrayOffset(), frame.arrayOffset() + frame.limit());
    }

    private static void write(Path out, ApiKeys api, String kind, String columns, List<String> lines) throws Exception {
        String name = api.name.replaceAll("(?<=[a-z])(?=[A-Z])", "-").toLowerCase() + "-" + kind;
        String about = "# " + name + ", made by tests/java/GoldenFrames.java with kafka-clients " + AppInfoParser.getVersion()
                + ". Tab-separated: " + columns + ". Frames are hex, with header, without length.\n";
        Files.writeString(out.resolve(name + ".txt"), about + lines.stream().map(l -> l + "\n").collect(Collectors.joining()), UTF_8);
    }

    // ---- small things

    private static List<Short> stableVersions(ApiKeys api) {
        return api.allVersions().stream().filter(v -> api.isVersionEnabled(v, false)).toList();
    }

    private static void tag(List<RawTaggedField> fields, int tag, String data) {
        fields.add(new RawTaggedField(tag, data.getBytes(UTF_8)));
    }

    private static String upstreamHost(int id) {
        return "broker-" + id + ".upstream.internal";
    }

    private static int upstreamPort(int id) {
        return 19000 + id % 100;
    }

    /** One batch of the current format, with and without keys, some values null. The timestamps are fixed. */
    private static MemoryRecords records(int count, int size) {
        return MemoryRecords.withRecords(Compression.NONE, IntStream.range(0, count).mapToObj(i -> new SimpleRecord(1_700_000_000_000L + i,
                i % 2 == 0 ? null : ("key-" + i).getBytes(UTF_8),
                i % 5 == 4 ? null : "v".repeat(size).getBytes(UTF_8))).toArray(SimpleRecord[]::new));
    }
}

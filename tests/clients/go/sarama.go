package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/IBM/sarama"
)

type saramaLibrary struct {
	options
	config   *sarama.Config
	client   sarama.Client
	admin    sarama.ClusterAdmin
	producer sarama.AsyncProducer
	start    time.Time
}

func newSarama(o options) (library, error) {
	c := sarama.NewConfig()
	c.ClientID = "sarama"
	c.Version = sarama.V4_3_1_0
	c.Producer.Partitioner = sarama.NewManualPartitioner
	c.Producer.MaxMessageBytes = o.big + 1<<20
	c.Producer.Return.Successes = true
	c.Producer.Retry.Max = 100
	c.Metadata.Retry.Max = 100 // without a leader it drops records, so it must look for one as long as a broker may be away
	c.Consumer.Offsets.Initial = sarama.OffsetOldest
	c.Consumer.IsolationLevel = sarama.ReadCommitted
	if o.ca != "" {
		return nil, errors.New("no TLS here")
	}
	switch o.sasl {
	case "":
	case sarama.SASLTypePlaintext:
		c.Net.SASL.Enable, c.Net.SASL.User, c.Net.SASL.Password = true, "alice", "alice-secret"
	case sarama.SASLTypeOAuth:
		c.Net.SASL.Enable, c.Net.SASL.Mechanism, c.Net.SASL.TokenProvider = true, sarama.SASLTypeOAuth, saramaTokens(o)
	default: // its SCRAM wants an implementation from outside
		return nil, fmt.Errorf("no mechanism %s here", o.sasl)
	}
	switch o.variant {
	case "acks-0":
		c.Producer.RequiredAcks = sarama.NoResponse
	case "acks-1":
		c.Producer.RequiredAcks = sarama.WaitForLocal
	case "acks-all":
		c.Producer.RequiredAcks = sarama.WaitForAll
	case "idempotent", "transactional":
		c.Producer.RequiredAcks, c.Producer.Idempotent, c.Net.MaxOpenRequests = sarama.WaitForAll, true, 1
	}
	if o.variant == "transactional" {
		c.Producer.Transaction.ID = fmt.Sprintf("txn-%d", time.Now().UnixNano())
	}
	client, err := sarama.NewClient(o.bootstrap, c)
	if err != nil {
		return nil, err
	}
	admin, err := sarama.NewClusterAdminFromClient(client)
	if err != nil {
		return nil, err
	}
	return &saramaLibrary{options: o, config: c, client: client, admin: admin, start: time.Now()}, nil
}

type saramaTokens options

func (t saramaTokens) Token() (*sarama.AccessToken, error) {
	token, err := options(t).token(context.Background())
	return &sarama.AccessToken{Token: token}, err
}

func (s *saramaLibrary) create(_ context.Context, topic string, maxMessageBytes int) error {
	limit := strconv.Itoa(maxMessageBytes)
	return s.admin.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: partitions, ReplicationFactor: int16(s.replication),
		ConfigEntries: map[string]*string{"max.message.bytes": &limit}}, false)
}

func (s *saramaLibrary) describe(_ context.Context, topic string) (int, error) {
	found, err := s.admin.DescribeTopics([]string{topic})
	if err != nil || len(found) != 1 {
		return 0, err
	}
	for p := range int32(partitions) {
		if _, err := s.client.GetOffset(topic, p, sarama.OffsetNewest); err != nil {
			return 0, err
		}
	}
	return len(found[0].Partitions), nil
}

func (s *saramaLibrary) send(ctx context.Context, topic string, numbers, aborted []int) error {
	if s.producer == nil { // only now: it must know the topic
		var err error
		if s.producer, err = sarama.NewAsyncProducer(s.bootstrap, s.config); err != nil {
			return err
		}
	}
	if s.variant != "transactional" {
		return s.produce(ctx, topic, numbers)
	}
	for _, transaction := range []struct {
		numbers []int
		end     func() error
	}{{aborted, s.producer.AbortTxn}, {numbers, s.producer.CommitTxn}} {
		if len(transaction.numbers) == 0 {
			continue
		}
		if err := s.producer.BeginTxn(); err != nil {
			return err
		}
		if err := s.produce(ctx, topic, transaction.numbers); err != nil {
			return err
		}
		if err := transaction.end(); err != nil {
			return err
		}
	}
	return nil
}

func (s *saramaLibrary) produce(ctx context.Context, topic string, numbers []int) error {
	go func() {
		for _, i := range numbers {
			s.untilDue(ctx, s.start, i)
			m := &sarama.ProducerMessage{Topic: topic, Partition: int32(i % partitions),
				Key: sarama.StringEncoder(strconv.Itoa(i)), Value: sarama.ByteEncoder(s.value(i))}
			select {
			case s.producer.Input() <- m:
			case <-ctx.Done():
				return
			}
		}
	}()
	for range numbers {
		select {
		case <-s.producer.Successes():
		case err := <-s.producer.Errors():
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// reader is a member of a group that hands its records on, one after the other whichever partition they are of.
type reader struct {
	records chan received
}

type received struct {
	message *sarama.ConsumerMessage
	session sarama.ConsumerGroupSession
}

func (reader) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (reader) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (r reader) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for m := range claim.Messages() {
		select {
		case r.records <- received{m, session}:
		case <-session.Context().Done():
			return nil
		}
	}
	return nil
}

func (s *saramaLibrary) read(ctx context.Context, topic, group string, each func(int32, int64, []byte, []byte) (bool, error)) error {
	g, err := sarama.NewConsumerGroup(s.bootstrap, group, s.config)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	r := reader{make(chan received)}
	go again(ctx, func() error { // it returns after each rebalance, and whenever a broker is away
		return errors.Join(g.Consume(ctx, []string{topic}, r), errors.New("once more"))
	})
	defer func() {
		cancel()
		_ = g.Close() // its errors show in what is committed
	}()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case got := <-r.records:
			m := got.message
			last, err := each(m.Partition, m.Offset, m.Key, m.Value)
			if err != nil {
				return err
			}
			got.session.MarkMessage(m, "")
			if last {
				return nil // what is marked is committed every second and, with repetitions, on closing
			}
		}
	}
}

func (s *saramaLibrary) committed(_ context.Context, topic, group string) (map[int32]int64, error) {
	found, err := s.admin.ListConsumerGroupOffsets(group, map[string][]int32{topic: {0, 1, 2}})
	if err != nil {
		return nil, err
	}
	offsets := map[int32]int64{}
	for p, block := range found.Blocks[topic] {
		if !errors.Is(block.Err, sarama.ErrNoError) {
			return nil, block.Err
		}
		offsets[p] = block.Offset
	}
	return offsets, nil
}

func (s *saramaLibrary) remove(_ context.Context, topic string) error {
	return s.admin.DeleteTopic(topic)
}

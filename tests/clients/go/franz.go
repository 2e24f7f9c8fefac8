package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

type franz struct {
	options
	common   []kgo.Opt
	producer *kgo.Client
	admin    *kadm.Client
	start    time.Time
}

func newFranz(o options) (library, error) {
	f := &franz{options: o, start: time.Now(), common: []kgo.Opt{kgo.SeedBrokers(o.bootstrap...), kgo.ClientID("franz-go")}}
	scramUser := scram.Auth{User: "alice", Pass: "alice-secret"}
	switch o.sasl {
	case "":
	case "PLAIN":
		f.common = append(f.common, kgo.SASL(plain.Auth{User: "alice", Pass: "alice-secret"}.AsMechanism()))
	case "SCRAM-SHA-256":
		f.common = append(f.common, kgo.SASL(scramUser.AsSha256Mechanism()))
	case "SCRAM-SHA-512":
		f.common = append(f.common, kgo.SASL(scramUser.AsSha512Mechanism()))
	case "OAUTHBEARER":
		f.common = append(f.common, kgo.SASL(oauth.Oauth(func(ctx context.Context) (oauth.Auth, error) {
			token, err := o.token(ctx)
			return oauth.Auth{Token: token}, err
		})))
	default:
		return nil, fmt.Errorf("no mechanism %s here", o.sasl)
	}
	if o.ca != "" {
		config, err := o.tls()
		if err != nil {
			return nil, err
		}
		f.common = append(f.common, kgo.DialTLSConfig(config))
	}
	producing := append([]kgo.Opt{kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchMaxBytes(int32(o.big + 1<<20))}, f.common...)
	switch o.variant {
	case "acks-0":
		producing = append(producing, kgo.RequiredAcks(kgo.NoAck()), kgo.DisableIdempotentWrite())
	case "acks-1":
		producing = append(producing, kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite())
	case "acks-all":
		producing = append(producing, kgo.RequiredAcks(kgo.AllISRAcks()), kgo.DisableIdempotentWrite())
	case "transactional":
		producing = append(producing, kgo.TransactionalID(fmt.Sprintf("txn-%d", f.start.UnixNano())))
	}
	var err error
	if f.producer, err = kgo.NewClient(producing...); err != nil {
		return nil, err
	}
	admin, err := kgo.NewClient(f.common...)
	if err != nil {
		return nil, err
	}
	f.admin = kadm.NewClient(admin)
	return f, nil
}

// tls trusts one authority, and shows a certificate where there is one. The name of the server is the host that is dialled.
func (o options) tls() (*tls.Config, error) {
	signers, err := os.ReadFile(o.ca)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{RootCAs: x509.NewCertPool()}
	if !config.RootCAs.AppendCertsFromPEM(signers) {
		return nil, fmt.Errorf("no certificate in %s", o.ca)
	}
	if o.cert != "" {
		own, err := tls.LoadX509KeyPair(o.cert, o.cert)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{own}
	}
	return config, nil
}

func (f *franz) create(ctx context.Context, topic string, maxMessageBytes int) error {
	limit := strconv.Itoa(maxMessageBytes)
	_, err := f.admin.CreateTopic(ctx, partitions, int16(f.replication), map[string]*string{"max.message.bytes": &limit}, topic)
	return err
}

func (f *franz) describe(ctx context.Context, topic string) (int, error) {
	found, err := f.admin.ListTopics(ctx, topic)
	if err != nil {
		return 0, err
	}
	offsets, err := f.admin.ListEndOffsets(ctx, topic)
	return len(found[topic].Partitions), errors.Join(err, offsets.Error())
}

func (f *franz) send(ctx context.Context, topic string, numbers, aborted []int) error {
	if f.variant != "transactional" {
		return f.produce(ctx, topic, numbers)
	}
	for _, transaction := range []struct {
		numbers []int
		end     kgo.TransactionEndTry
	}{{aborted, kgo.TryAbort}, {numbers, kgo.TryCommit}} {
		if len(transaction.numbers) == 0 {
			continue
		}
		if err := f.producer.BeginTransaction(); err != nil {
			return err
		}
		if err := f.produce(ctx, topic, transaction.numbers); err != nil {
			return err
		}
		if err := f.producer.EndTransaction(ctx, transaction.end); err != nil {
			return err
		}
	}
	return nil
}

func (f *franz) produce(ctx context.Context, topic string, numbers []int) error {
	var mu sync.Mutex
	var refused error
	for _, i := range numbers {
		f.untilDue(ctx, f.start, i)
		record := &kgo.Record{Topic: topic, Partition: int32(i % partitions), Key: []byte(strconv.Itoa(i)), Value: f.value(i)}
		f.producer.Produce(ctx, record, func(_ *kgo.Record, err error) {
			if err != nil {
				mu.Lock()
				refused = errors.Join(refused, fmt.Errorf("record %d: %w", i, err))
				mu.Unlock()
			}
		})
	}
	if err := f.producer.Flush(ctx); err != nil {
		return err
	}
	mu.Lock()
	defer mu.Unlock()
	return refused
}

func (f *franz) read(ctx context.Context, topic, group string, each func(int32, int64, []byte, []byte) (bool, error)) error {
	consumer, err := kgo.NewClient(append([]kgo.Opt{kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted())}, f.common...)...)
	if err != nil {
		return err
	}
	defer consumer.Close()
	for {
		fetches := consumer.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			return err
		}
		// Its errors tell of what it tries again by itself; what it cannot mend shows as records that do not come.
		for _, r := range fetches.Records() {
			last, err := each(r.Partition, r.Offset, r.Key, r.Value)
			if err != nil {
				return err
			}
			if last {
				return consumer.CommitUncommittedOffsets(ctx)
			}
		}
	}
}

func (f *franz) committed(ctx context.Context, topic, group string) (map[int32]int64, error) {
	found, err := f.admin.FetchOffsets(ctx, group)
	if err != nil {
		return nil, err
	}
	offsets := map[int32]int64{}
	for p, o := range found[topic] {
		offsets[p] = o.At
	}
	return offsets, found.Error()
}

func (f *franz) remove(ctx context.Context, topic string) error {
	_, err := f.admin.DeleteTopic(ctx, topic)
	return err
}

// Command clients is a user of franz-go or of sarama: it sends records, reads them through a group, and demands each
// once and in order. See ../README.md.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

const partitions = 3

var sizes = []int{0, 1, 100, 1000, 10_000, 100_000}

var variants = []string{"acks-0", "acks-1", "acks-all", "idempotent", "transactional"}

type options struct {
	bootstrap   []string
	variant     string
	records     int
	big         int
	seconds     float64
	replication int
	sasl        string
	tokens      string
	ca          string
	cert        string
	limit       time.Duration
}

// A library under test. Sending ends with every record acknowledged; reading hands each record to a function until that
// says that it was the last, and then commits.
type library interface {
	create(ctx context.Context, topic string, maxMessageBytes int) error
	// describe fails until every partition tells its offsets: only then it takes records, and with acks=0 nobody would say
	// that it does not.
	describe(ctx context.Context, topic string) (partitions int, err error)
	send(ctx context.Context, topic string, numbers, aborted []int) error
	read(ctx context.Context, topic, group string, each func(partition int32, offset int64, key, value []byte) (last bool, err error)) error
	committed(ctx context.Context, topic, group string) (map[int32]int64, error)
	remove(ctx context.Context, topic string) error
}

func (o options) value(i int) []byte {
	size := sizes[i%len(sizes)]
	if o.big > 0 && i == 0 {
		size = o.big
	}
	pattern := []byte(strconv.Itoa(i) + ".")
	return bytes.Repeat(pattern, size/len(pattern)+1)[:size]
}

// untilDue waits until it is time to send record i.
func (o options) untilDue(ctx context.Context, start time.Time, i int) {
	due := start.Add(time.Duration(o.seconds * float64(time.Second) * float64(i) / float64(o.records)))
	select {
	case <-time.After(time.Until(due)):
	case <-ctx.Done():
	}
}

// again asks until there is an answer or no time left: what a library leaves to its user while a broker is away.
func again(ctx context.Context, ask func() error) error {
	for {
		err := ask()
		if err == nil || ctx.Err() != nil {
			return err
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

func story(ctx context.Context, l library, name string, o options) error {
	topic := fmt.Sprintf("%s-%s-%d-%d", name, o.variant, os.Getpid(), time.Now().UnixNano())
	if err := l.create(ctx, topic, o.big+1<<20); err != nil {
		return fmt.Errorf("create: %w", err)
	}
	err := again(ctx, func() error {
		found, err := l.describe(ctx, topic)
		if err == nil && found != partitions {
			err = fmt.Errorf("%d partitions", found) // a broker may not have heard of the topic yet
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("describe: %w", err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	sent := make(chan error, 1)
	go func() {
		err := send(ctx, l, topic, o)
		if err != nil {
			cancel(err)
		}
		sent <- err
	}()
	positions, err := read(ctx, l, topic, o)
	if err != nil {
		return errors.Join(context.Cause(ctx), err)
	}
	if err := <-sent; err != nil {
		return err
	}
	var committed map[int32]int64
	err = again(ctx, func() error {
		committed, err = l.committed(ctx, topic, topic)
		return err
	})
	if err != nil {
		return fmt.Errorf("committed: %w", err)
	}
	for p, at := range positions { // may be beyond the last record: the markers of transactions take offsets too
		if committed[p] < at {
			return fmt.Errorf("committed %v, read up to %v", committed, positions)
		}
	}
	if err := again(ctx, func() error { return l.remove(ctx, topic) }); err != nil {
		return fmt.Errorf("remove: %w", err)
	}
	return nil
}

func send(ctx context.Context, l library, topic string, o options) error {
	numbers := make([]int, o.records)
	for i := range numbers {
		numbers[i] = i
	}
	if o.variant != "transactional" {
		return l.send(ctx, topic, numbers, nil)
	}
	aborted := numbers[:min(10, len(numbers))]
	for batch := range slices.Chunk(numbers, max(1, len(numbers)/4)) {
		if err := l.send(ctx, topic, batch, aborted); err != nil {
			return err
		}
		aborted = nil
	}
	return nil
}

// read demands every record; it returns the position after the last one of each partition.
func read(ctx context.Context, l library, topic string, o options) (map[int32]int64, error) {
	following, positions, count := map[int32]int{0: 0, 1: 1, 2: 2}, map[int32]int64{}, 0
	err := l.read(ctx, topic, topic, func(p int32, offset int64, key, value []byte) (bool, error) {
		if offset < positions[p] {
			return false, nil // read again after a rebalance; twice in the log would be twice at different offsets
		}
		i, err := strconv.Atoi(string(key))
		if err != nil || i != following[p] {
			return false, fmt.Errorf("partition %d: record %q at offset %d where %d was due at %d", p, key, offset, following[p], positions[p])
		}
		if !bytes.Equal(value, o.value(i)) {
			return false, fmt.Errorf("record %d has changed", i)
		}
		following[p], positions[p] = i+partitions, offset+1
		count++
		return count == o.records, nil
	})
	if err != nil {
		return nil, fmt.Errorf("read %d of %d records: %w", count, o.records, err)
	}
	return positions, nil
}

func main() {
	usage := "usage: clients franz-go|sarama BOOTSTRAP " + strings.Join(variants, "|") + " [options]"
	if len(os.Args) < 4 || !slices.Contains(variants, os.Args[3]) {
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
	o := options{bootstrap: strings.Split(os.Args[2], ","), variant: os.Args[3]}
	flags := flag.NewFlagSet("clients", flag.ExitOnError)
	flags.IntVar(&o.records, "records", 1000, "records to send")
	flags.IntVar(&o.big, "big", 0, "size of the first record")
	flags.Float64Var(&o.seconds, "seconds", 0, "spread sending over this time")
	flags.IntVar(&o.replication, "replication", 1, "replicas of the topic")
	flags.StringVar(&o.sasl, "sasl", "", "SASL mechanism")
	flags.StringVar(&o.tokens, "token-endpoint", "", "where tokens come from, with OAUTHBEARER")
	flags.StringVar(&o.ca, "ca", "", "who signs servers, in a PEM file: TLS")
	flags.StringVar(&o.cert, "cert", "", "the client's certificate and key, in a PEM file")
	limit := flags.Float64("limit", 120, "give up after so many seconds")
	_ = flags.Parse(os.Args[4:]) // ExitOnError: it does not return an error
	o.limit = time.Duration(*limit * float64(time.Second))

	ctx, cancel := context.WithTimeout(context.Background(), o.limit)
	defer cancel()
	verdict := map[string]any{"client": os.Args[1], "variant": o.variant, "records": o.records, "verdict": "ok"}
	over := make(chan error, 1)
	go func() {
		var l library
		var err error
		switch os.Args[1] {
		case "franz-go":
			l, err = newFranz(o)
		case "sarama":
			l, err = newSarama(o)
		default:
			err = errors.New(usage)
		}
		if err == nil {
			err = story(ctx, l, os.Args[1], o)
		}
		over <- err
	}()
	var err error
	select {
	case err = <-over:
	case <-time.After(o.limit + time.Second): // a library that ignores its context must not keep the verdict back
		err = fmt.Errorf("not over within %s", o.limit)
	}
	status := 0
	if err != nil {
		verdict["verdict"], verdict["reason"], status = "failed", err.Error(), 1
	}
	line, _ := json.Marshal(verdict) // strings and numbers only: it cannot fail
	fmt.Println(string(line))
	os.Exit(status)
}

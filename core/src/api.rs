//! The Kafka APIs that kroxy knows, and how it treats each version of them.

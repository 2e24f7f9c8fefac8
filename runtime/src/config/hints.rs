//! What would be right in each field: the help below an error, and a column of the reference.

/// The fields by their names (without places, as [`super::locate::FieldPath::names`] has them; nothing is the file), and
/// what is right in them, with an example.
pub(super) const RIGHT: &[(&str, &str)] = &[
    ("", "a configuration is `( virtual_clusters: [ … ] )`; fixtures/config has an example for each typical set-up"),
    ("admin", "such as `( bind: \"127.0.0.1:9190\" )`"),
    ("admin.bind", "an address and a port, such as \"127.0.0.1:9190\", or \"0.0.0.0:9190\" with a token_file"),
    ("admin.token_file", "a file name in quotes, such as \"/etc/kroxy/admin-token\""),
    ("admin.tls", "such as `( certificates: [( chain: \"kroxy.pem\", key: \"kroxy.key\" )] )`"),
    ("admin.tls.certificates", "a list with at least one `( chain: \"kroxy.pem\", key: \"kroxy.key\" )`"),
    ("admin.tls.certificates.chain", "a path in quotes, such as \"kroxy.pem\""),
    ("admin.tls.certificates.key", "a path in quotes, such as \"kroxy.key\""),
    ("admin.tls.certificates.pkcs12", "a path in quotes, such as \"kroxy.p12\"; without `chain` and `key`"),
    ("admin.tls.certificates.password_file", "a path in quotes, such as \"kroxy.p12.password\""),
    ("admin.tls.principal_mapping_rules", "nothing: it is for gateways"),
    ("admin.tls.client_auth", "`None`, `Requested( ca: \"clients.pem\" )` or `Required( ca: \"clients.pem\" )`"),
    ("admin.tls.versions", "a list of `Tls12` and `Tls13`, such as [Tls13]"),
    (
        "admin.tls.cipher_suites",
        "a list of IANA names of suites with forward secrecy, such as [\"TLS_AES_256_GCM_SHA384\"]; docs/tls.md has all",
    ),
    ("admin.tls.handshake_timeout", "a duration in quotes, such as \"10s\""),
    ("on_virtual_cluster_failure", "such as `( serve: Remaining, retry: ( max_retries: Times(5) ) )`"),
    ("on_virtual_cluster_failure.serve", "`None` (the proxy stops) or `Remaining` (it serves the others)"),
    (
        "on_virtual_cluster_failure.retry",
        "such as `( max_retries: Times(5), initial_backoff: \"1s\", max_backoff: \"60s\" )`",
    ),
    ("on_virtual_cluster_failure.retry.max_retries", "`Forever`, or a number such as `Times(5)`"),
    ("on_virtual_cluster_failure.retry.initial_backoff", "a duration in quotes, such as \"500ms\" or \"1s\""),
    ("on_virtual_cluster_failure.retry.max_backoff", "a duration in quotes, at least initial_backoff, such as \"60s\""),
    ("watch", "`true` or `false`"),
    ("max_unfinished_requests", "a size in quotes from \"1MiB\" on, such as \"64MiB\""),
    ("log", "such as `( level: Debug )`"),
    ("log.level", "`Warn`, `Info`, `Debug` or `Trace`"),
    ("virtual_clusters", "a list with at least one `( name: …, upstream: …, gateways: … )`"),
    ("virtual_clusters.name", "letters, digits and hyphens, at most 63, in quotes, such as \"orders\""),
    ("virtual_clusters.upstream", "such as `( bootstrap_servers: [\"kafka-1.internal:9092\"] )`"),
    (
        "virtual_clusters.upstream.bootstrap_servers",
        "a list of host:port, such as [\"kafka-1.internal:9092\", \"10.0.0.2:9092\", \"[fd00::3]:9092\"]",
    ),
    ("virtual_clusters.upstream.connect_timeout", "a duration in quotes, such as \"5s\""),
    ("virtual_clusters.upstream.tls", "such as `( ca: File(\"ca.pem\") )`, or `()`"),
    ("virtual_clusters.upstream.tls.ca", "`File(\"ca.pem\")` or `System`"),
    ("virtual_clusters.upstream.tls.client_certificate", "such as `( chain: \"kroxy.pem\", key: \"kroxy.key\" )`"),
    ("virtual_clusters.upstream.tls.client_certificate.chain", "a path in quotes, such as \"kroxy.pem\""),
    ("virtual_clusters.upstream.tls.client_certificate.key", "a path in quotes, such as \"kroxy.key\""),
    (
        "virtual_clusters.upstream.tls.client_certificate.pkcs12",
        "a path in quotes, such as \"kroxy.p12\"; without `chain` and `key`",
    ),
    (
        "virtual_clusters.upstream.tls.client_certificate.password_file",
        "a path in quotes, such as \"kroxy.p12.password\"",
    ),
    (
        "virtual_clusters.upstream.tls.server_name",
        "a name or address without a port, in quotes, such as \"kafka.internal\"",
    ),
    ("virtual_clusters.upstream.tls.versions", "a list of `Tls12` and `Tls13`, such as [Tls13]"),
    (
        "virtual_clusters.upstream.tls.cipher_suites",
        "a list of IANA names of suites with forward secrecy, such as [\"TLS_AES_256_GCM_SHA384\"]; docs/tls.md has all",
    ),
    ("virtual_clusters.upstream.tls.insecure", "`true` or `false`; with `true` there is no `ca`"),
    ("virtual_clusters.upstream.proxy_protocol", "`V1` or `V2`"),
    (
        "virtual_clusters.upstream.sasl",
        "such as `( mechanism: \"SCRAM-SHA-512\", username: \"kroxy\", password_file: \"kroxy.password\" )`",
    ),
    ("virtual_clusters.upstream.sasl.mechanism", "\"PLAIN\", \"SCRAM-SHA-256\", \"SCRAM-SHA-512\" or \"OAUTHBEARER\""),
    ("virtual_clusters.upstream.sasl.username", "a name in quotes, such as \"kroxy\"; there with PLAIN or SCRAM"),
    (
        "virtual_clusters.upstream.sasl.password_file",
        "a path in quotes, such as \"kroxy.password\"; there with PLAIN or SCRAM",
    ),
    (
        "virtual_clusters.upstream.sasl.oauth",
        "such as `( endpoint: \"https://idp.example/token\", client_id: \"kroxy\", client_secret_file: \"kroxy.secret\" )`; there with OAUTHBEARER",
    ),
    ("virtual_clusters.upstream.sasl.oauth.endpoint", "an address in quotes, such as \"https://idp.example/token\""),
    ("virtual_clusters.upstream.sasl.oauth.client_id", "a name in quotes, such as \"kroxy\""),
    ("virtual_clusters.upstream.sasl.oauth.client_secret_file", "a path in quotes, such as \"kroxy.secret\""),
    ("virtual_clusters.upstream.sasl.oauth.scope", "a text in quotes, such as \"kafka\""),
    ("virtual_clusters.upstream.sasl.oauth.ca", "`File(\"ca.pem\")` or `System`, with an https:// address"),
    (
        "virtual_clusters.gateways",
        "a list with at least one `( name: …, port_per_broker: … )` or `( name: …, tls: …, sni: … )`",
    ),
    ("virtual_clusters.gateways.name", "letters, digits and hyphens, at most 63, in quotes, such as \"internal\""),
    (
        "virtual_clusters.gateways.port_per_broker",
        "such as `( bind: \"0.0.0.0\", advertised_host: \"kroxy.example\", bootstrap_port: 9292, \
             nodes: [( ids: (0, 9), first_port: 9300 )] )`",
    ),
    (
        "virtual_clusters.gateways.port_per_broker.bind",
        "an IP address without a port, such as \"127.0.0.1\", \"0.0.0.0\" or \"::\"",
    ),
    (
        "virtual_clusters.gateways.port_per_broker.advertised_host",
        "the name or address that clients use, without a port, such as \"kroxy.example\"",
    ),
    ("virtual_clusters.gateways.port_per_broker.bootstrap_port", "a port from 1 to 65535, such as 9292"),
    ("virtual_clusters.gateways.port_per_broker.nodes", "a list with at least one `( ids: (0, 9), first_port: 9300 )`"),
    (
        "virtual_clusters.gateways.port_per_broker.nodes.ids",
        "the first and the last node id, such as (0, 9); no id is in two ranges",
    ),
    (
        "virtual_clusters.gateways.port_per_broker.nodes.first_port",
        "the port of the range's first id, such as 9300; each id takes one port, and no port is taken twice",
    ),
    (
        "virtual_clusters.gateways.sni",
        "such as `( bind: \"0.0.0.0:9092\", bootstrap: \"{cluster}.kafka.example:9092\", \
             advertised: \"b{node}.{cluster}.kafka.example:9092\" )`",
    ),
    ("virtual_clusters.gateways.sni.bind", "an IP address and a port, such as \"0.0.0.0:9092\" or \"[::]:9092\""),
    (
        "virtual_clusters.gateways.sni.bootstrap",
        "host:port, such as \"{cluster}.kafka.example:9092\"; no name belongs to two gateways at one address",
    ),
    (
        "virtual_clusters.gateways.sni.advertised",
        "host:port with `{node}` in it, such as \"b{node}.{cluster}.kafka.example:9092\"",
    ),
    ("virtual_clusters.gateways.tls", "such as `( certificates: [( chain: \"kroxy.pem\", key: \"kroxy.key\" )] )`"),
    (
        "virtual_clusters.gateways.tls.certificates",
        "a list with at least one `( chain: \"kroxy.pem\", key: \"kroxy.key\" )`",
    ),
    ("virtual_clusters.gateways.tls.certificates.chain", "a path in quotes, such as \"kroxy.pem\""),
    ("virtual_clusters.gateways.tls.certificates.key", "a path in quotes, such as \"kroxy.key\""),
    (
        "virtual_clusters.gateways.tls.certificates.pkcs12",
        "a path in quotes, such as \"kroxy.p12\"; without `chain` and `key`",
    ),
    ("virtual_clusters.gateways.tls.certificates.password_file", "a path in quotes, such as \"kroxy.p12.password\""),
    (
        "virtual_clusters.gateways.tls.principal_mapping_rules",
        "a list of rules such as [\"RULE:^CN=(.*?),.*$/$1/L\", \"DEFAULT\"], with `client_auth`",
    ),
    (
        "virtual_clusters.gateways.tls.client_auth",
        "`None`, `Requested( ca: \"clients.pem\" )` or `Required( ca: \"clients.pem\" )`",
    ),
    ("virtual_clusters.gateways.tls.versions", "a list of `Tls12` and `Tls13`, such as [Tls13]"),
    (
        "virtual_clusters.gateways.tls.cipher_suites",
        "a list of IANA names of suites with forward secrecy, such as [\"TLS_AES_256_GCM_SHA384\"]; docs/tls.md has all",
    ),
    ("virtual_clusters.gateways.tls.handshake_timeout", "a duration in quotes, such as \"10s\""),
    (
        "virtual_clusters.gateways.proxy_protocol",
        "`Off`, `Allowed( from: [\"10.0.0.0/8\"] )` or `Required( from: [\"10.0.0.7\", \"fd00::/8\"] )`",
    ),
    ("virtual_clusters.sasl", "such as `( mechanisms: [\"SCRAM-SHA-512\"], credentials: \"users.ron\" )`"),
    (
        "virtual_clusters.sasl.mechanisms",
        "a list of \"PLAIN\", \"SCRAM-SHA-256\", \"SCRAM-SHA-512\" or \"OAUTHBEARER\"",
    ),
    ("virtual_clusters.sasl.credentials", "a path in quotes, such as \"users.ron\"; there with PLAIN or SCRAM"),
    (
        "virtual_clusters.sasl.oauth",
        "such as `( keys: Url(\"https://idp.example/jwks\"), issuer: \"https://idp.example\", audiences: [\"kafka\"] )`; there with OAUTHBEARER",
    ),
    ("virtual_clusters.sasl.oauth.keys", "`File(\"jwks.json\")` or `Url(\"https://idp.example/jwks\")`"),
    ("virtual_clusters.sasl.oauth.issuer", "what the issuer calls itself, in quotes, such as \"https://idp.example\""),
    ("virtual_clusters.sasl.oauth.audiences", "a list with at least one, such as [\"kafka\"]"),
    (
        "virtual_clusters.sasl.oauth.principal_claim",
        "the name of a claim in quotes, such as \"sub\" or \"preferred_username\"",
    ),
    ("virtual_clusters.sasl.oauth.refresh", "a duration in quotes, such as \"5m\""),
    ("virtual_clusters.sasl.oauth.ca", "`File(\"ca.pem\")` or `System`, with an https:// address"),
    ("virtual_clusters.sasl.session_max", "a duration in quotes, such as \"1h\", or nothing"),
    ("virtual_clusters.sasl.authentication_timeout", "a duration in quotes, such as \"30s\""),
    ("virtual_clusters.sasl.failure_delay", "a duration in quotes, such as \"100ms\""),
    ("virtual_clusters.drain_timeout", "a duration in quotes, such as \"10s\""),
    ("virtual_clusters.idle_timeout", "a duration in quotes, such as \"15m\", or nothing"),
    ("virtual_clusters.unfinished_request_timeout", "a duration in quotes, such as \"60s\""),
    ("virtual_clusters.unread_response_timeout", "a duration in quotes, such as \"5m\""),
    ("virtual_clusters.first_request_timeout", "a duration in quotes, such as \"60s\""),
    ("virtual_clusters.limits", "such as `( max_request_frame: \"100MiB\", max_connections: 10000 )`"),
    (
        "virtual_clusters.limits.max_request_frame",
        "a size in quotes from \"1KiB\" to just below \"2GiB\", such as \"100MiB\"",
    ),
    ("virtual_clusters.limits.max_connections", "a number above 0, such as 10000"),
    ("virtual_clusters.limits.max_connections_per_address", "a number above 0, such as 200, or nothing"),
    ("virtual_clusters.limits.max_connections_per_principal", "a number above 0, such as 500, or nothing"),
    ("virtual_clusters.limits.max_connection_rate", "a number from 1 to 1000000, such as 500, or nothing"),
    ("virtual_clusters.limits.max_connection_rate_per_address", "a number from 1 to 1000000, such as 20, or nothing"),
    ("virtual_clusters.limits.max_request_rate", "a number from 1 to 1000000, such as 1000, or nothing"),
    ("virtual_clusters.limits.max_buffered", "a size in quotes from \"1MiB\" on, such as \"1GiB\""),
];

/// What is right in a field.
pub(super) fn right(names: &str) -> Option<&'static str> {
    RIGHT.iter().find(|(field, _)| *field == names).map(|(_, right)| *right)
}

/// What is right in a field, or where the field is a part of a value (`ca` of `Required( ca: … )`) in that value.
pub(super) fn right_around(names: &str) -> Option<&'static str> {
    right(names).or_else(|| right_around(names.rsplit_once('.')?.0))
}

//! Who clients are by the certificates that they show.

use crate::{
    BOTH, PAIR, PATIENCE, World,
    certificates::{Authority, Made},
    client_config, connect,
    frames::HEARTBEAT,
    gateway_files, served,
};
use rcgen::DnType;
use tokio::{io::AsyncWriteExt, time::timeout};

impl World {
    /// Whom a client with this certificate is taken for.
    async fn principal(&self, servers: &Authority, shown: Option<&Made>) -> Option<String> {
        let connected = connect(self.clients_at, client_config(servers, shown, BOTH), "kroxy.example").await;
        let mut client = connected.expect("let in");
        client.write_all(HEARTBEAT).await.expect("read");
        let clients = || self.proxy.status().virtual_clusters[0].clients.clone();
        let asked = async {
            while !clients().iter().any(|client| !client.client_id.is_empty()) {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, asked).await.expect("in time");
        let known = clients()[0].clone();
        assert_eq!(known.sasl_mechanism, None);
        drop(client);
        let gone = async {
            while !clients().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, gone).await.expect("in time");
        known.principal
    }
}

#[tokio::test]
async fn a_client_with_a_certificate_is_known_by_its_subject() {
    let (folder, servers, clients) = gateway_files();
    let world = World::serving(folder, &format!(r#"{PAIR}, client_auth: Requested(ca: "{{}}clients.pem")"#), "").await;
    let alice = clients.sign(&["alice"]);
    assert_eq!(world.principal(&servers, Some(&alice)).await.as_deref(), Some("CN=alice"));
    assert_eq!(world.principal(&servers, None).await, None);
    world.end().await;
}

#[tokio::test]
async fn rules_name_a_client_by_its_certificate_and_whom_none_names_is_refused() {
    let (folder, servers, clients) = gateway_files();
    let named = |rules: &str| {
        format!(r#"{PAIR}, client_auth: Requested(ca: "{{}}clients.pem"), principal_mapping_rules: [{rules}]"#)
    };
    let rule = r#""RULE:^CN=(.*?),OU=Services,O=(.*)$/$1@$2/L""#;
    let world = World::serving(folder, &named(rule), "").await;
    let of = |unit, name| {
        let organization = (DnType::OrganizationName, "Example, Inc.");
        clients.sign_as(&[organization, (DnType::OrganizationalUnitName, unit), (DnType::CommonName, name)])
    };
    let (service, person) = (of("Services", "Billing"), of("People", "Alice"));
    assert_eq!(world.principal(&servers, Some(&service)).await.as_deref(), Some(r"billing@example\, inc."));
    assert_eq!(world.principal(&servers, None).await, None, "rules are about certificates");
    served(&world, client_config(&servers, Some(&person), BOTH)).await.expect_err("no rule names it");
    let line = r#"kroxy_disconnects_total{cause="authentication_failed",virtual_cluster="c"} 1"#;
    let counted = async {
        while !world.metric(line) {
            tokio::task::yield_now().await;
        }
    };
    assert!(timeout(PATIENCE, counted).await.is_ok(), "{line}");

    let report = world.reload(&named(&format!("{rule}, \"DEFAULT\"")), "").await;
    assert_eq!(report.errors, [""; 0]);
    let known = world.principal(&servers, Some(&person)).await;
    assert_eq!(known.as_deref(), Some(r"CN=Alice,OU=People,O=Example\, Inc."));
    world.end().await;
}

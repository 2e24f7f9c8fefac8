//! Any two configurations, against a model that knows only names, places and two settings.

use super::*;
use proptest::prelude::*;

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// What the model knows of a virtual cluster: which of four places its ports are at, a limit, and where upstream is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Model {
    place: u16,
    limit: usize,
    upstream: u8,
}

type Models = BTreeMap<&'static str, Model>;

/// At least one cluster, and no place twice.
fn models() -> impl Strategy<Value = Models> {
    let places = Just([0_u16, 1, 2, 3]).prop_shuffle();
    let settings = prop::collection::vec((any::<bool>(), 1..3_usize, 0..2_u8), NAMES.len());
    (places, settings, 0..NAMES.len()).prop_map(|(places, settings, always)| {
        let all = NAMES.iter().zip(places).zip(settings).zip(0..);
        let there = all.filter(|((_, (there, ..)), number)| *there || *number == always);
        there.map(|(((name, place), (_, limit, upstream)), _)| (*name, Model { place, limit, upstream })).collect()
    })
}

fn configuration(models: &Models) -> Loaded {
    let clusters = models.iter().map(|(name, model)| {
        let mut values = cluster(name, 9_192 + 100 * model.place);
        values.limits.max_connections = model.limit;
        values.upstream.bootstrap_servers = servers(&[["here", "there"][usize::from(model.upstream)]]);
        values
    });
    loaded(clusters.collect())
}

/// Whether the plan may do this to a cluster.
fn fits(part: &ClusterPlan, old: Option<&Model>, new: Option<&Model>) -> bool {
    match (old, new) {
        (None, Some(_)) => part.action == ReloadAction::Add,
        (Some(_), None) => part.action == ReloadAction::Remove,
        (Some(old), Some(new)) if old == new => part.action == ReloadAction::Unchanged && part.fields.is_empty(),
        // Connections to the old upstream cannot be kept, and an address that another cluster has cannot be prepared.
        (Some(old), Some(new)) if old.upstream != new.upstream || !part.after.is_empty() => {
            part.action == ReloadAction::Drain && !part.fields.is_empty()
        }
        (Some(_), Some(_)) => {
            matches!(part.action, ReloadAction::Live | ReloadAction::Drain) && !part.fields.is_empty()
        }
        (None, None) => false,
    }
}

proptest! {
    #[test]
    fn a_plan_names_every_cluster_once_with_what_its_change_needs(old in models(), new in models()) {
        let (in_force, wanted) = (configuration(&old), configuration(&new));
        let plan = plan(&InForce::all(&in_force), &wanted);
        let named: Vec<&str> = plan.virtual_clusters.iter().map(|part| part.name.as_str()).collect();
        let mut all: Vec<&str> = old.keys().chain(new.keys()).copied().collect();
        all.sort_unstable();
        all.dedup();
        prop_assert_eq!(&named, &all);
        for part in &plan.virtual_clusters {
            let name = part.name.as_str();
            prop_assert!(fits(part, old.get(name), new.get(name)), "{part:?}");
            let holder = new.get(name).and_then(|wanted| {
                old.iter().find(|(other, model)| **other != name && model.place == wanted.place).map(|(other, _)| *other)
            });
            let after: Vec<&str> = part.after.iter().map(ClusterName::as_str).collect();
            prop_assert_eq!(after, holder.into_iter().collect::<Vec<_>>(), "{} waits for whoever has its place", name);
        }
        prop_assert_eq!(plan.is_unchanged(), old == new);
        prop_assert_eq!(in_force.digest() == wanted.digest(), old == new);
    }
}

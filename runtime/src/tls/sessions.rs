//! What a gateway remembers of its clients, so that they come again without signatures on either side.
//!
//! rustls has a memory for that as well, which takes its room at once and searches all of it for each session that is taken out: good
//! for the 256 that it has by default.

use crate::limits;
use rustls::server::StoresServerSessions;
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard},
};

/// Sessions by their ids, in [`limits::TLS_SESSIONS`] bytes: the oldest are given up first.
#[derive(Default)]
pub(super) struct Sessions(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    /// Each with its place in `by_age`.
    by_id: BTreeMap<Arc<[u8]>, (u64, Vec<u8>)>,
    /// Their ids, the oldest first.
    by_age: BTreeMap<u64, Arc<[u8]>>,
    bytes: usize,
}

impl Sessions {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().expect("nobody panics with it")
    }
}

impl Kept {
    fn insert(&mut self, id: &[u8], session: Vec<u8>) {
        self.remove(id); // TLS 1.2 has the client name the id again
        let id: Arc<[u8]> = id.into();
        let place = self.by_age.last_key_value().map_or(0, |(newest, _)| newest + 1);
        self.bytes += taken(&id, &session);
        self.by_age.insert(place, id.clone());
        self.by_id.insert(id, (place, session));
        while self.bytes > limits::TLS_SESSIONS
            && let Some((_, oldest)) = self.by_age.pop_first()
            && let Some((_, session)) = self.by_id.remove(&oldest)
        {
            self.bytes -= taken(&oldest, &session);
        }
    }

    fn remove(&mut self, id: &[u8]) -> Option<Vec<u8>> {
        let (place, session) = self.by_id.remove(id)?;
        self.by_age.remove(&place);
        self.bytes -= taken(id, &session);
        Some(session)
    }
}

fn taken(id: &[u8], session: &[u8]) -> usize {
    id.len() + session.len() + limits::TLS_SESSION_BESIDE
}

impl StoresServerSessions for Sessions {
    fn put(&self, id: Vec<u8>, session: Vec<u8>) -> bool {
        self.kept().insert(&id, session);
        true
    }

    fn get(&self, id: &[u8]) -> Option<Vec<u8>> {
        self.kept().by_id.get(id).map(|(_, session)| session.clone())
    }

    fn take(&self, id: &[u8]) -> Option<Vec<u8>> {
        self.kept().remove(id)
    }

    fn can_cache(&self) -> bool {
        true
    }
}

/// Sessions are secrets.
impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} sessions", self.kept().by_id.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_give_way_to_new_ones_and_nothing_is_taken_twice() {
        const SESSION: usize = 1_000;
        let sessions = Sessions::default();
        let id = |n: usize| n.to_be_bytes().to_vec();
        let room = limits::TLS_SESSIONS / taken(&id(0), &[0; SESSION]);
        for n in 0..room {
            assert!(sessions.put(id(n), vec![1; SESSION]));
        }
        assert_eq!(sessions.take(&id(7)), Some(vec![1; SESSION]));
        assert_eq!(sessions.take(&id(7)), None);
        sessions.put(id(0), vec![2; SESSION]);
        sessions.put(id(room), vec![3; SESSION]);
        assert_eq!(sessions.get(&id(1)), Some(vec![1; SESSION]), "there was room for one more");
        sessions.put(id(room + 1), vec![4; SESSION]);
        assert_eq!(sessions.get(&id(1)), None, "the oldest by now");
        assert_eq!(sessions.get(&id(0)), Some(vec![2; SESSION]), "it was renewed");
        assert_eq!(format!("{sessions:?}"), format!("{room} sessions"));
        for n in 0..room + 2 {
            sessions.take(&id(n));
        }
        let kept = sessions.kept();
        assert_eq!((kept.bytes, kept.by_id.len(), kept.by_age.len()), (0, 0, 0));
    }
}

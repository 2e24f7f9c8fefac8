//! `watch: true`: puts a configuration in force when its file, or a file that it names, holds something else.
//!
//! Folders are watched, not files: editors rename a new file over the old one, and Kubernetes swaps a symbolic link
//! beside it. What the system tells is only a reason to look: whether anything has changed is a question of contents. A
//! simulation has no such task; it asks the proxy to reload with [`Trigger::Watch`] by itself.

use crate::{config, load, net::Net, proxy::Proxy};
use kroxy_core::{
    proxy::Trigger,
    status::{EventKind, ReloadOutcome},
};
use notify::{
    Event, EventKind as Noticed, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode},
};
use std::{
    collections::BTreeSet,
    io,
    path::{Component, Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::sync::{Notify, broadcast::error::RecvError};
use tracing::{info, warn};

/// How long nothing may have happened in the folders before files are read: whoever writes several, or one in pieces, has
/// finished by then.
const QUIET: Duration = Duration::from_millis(250);

/// How long is waited for quiet. Something else in the folder may be written to all the time.
const QUIET_AFTER_AT_MOST: Duration = Duration::from_secs(2);

/// Symbolic links that are followed from one path: as many as Linux follows.
const LINKS_MAX: usize = 40;

/// Reloads whenever the configuration at `file` changes, for as long as the one in force says `watch: true`. Never ends.
pub async fn follow<N: Net>(proxy: Proxy<N>, file: PathBuf) {
    let mut events = proxy.events();
    let mut watching = None;
    // The contents that were last put in force, or tried to.
    let mut seen = None;
    loop {
        let settings = proxy.settings();
        match (settings.watch(), &mut watching) {
            (false, _) => (watching, seen) = (None, None),
            (true, Some(_)) => {}
            (true, none @ None) => match Folders::new() {
                Ok(folders) => *none = Some(folders),
                Err(e) => warn!("files cannot be watched: {e}"),
            },
        }
        if let Some(folders) = &mut watching {
            let mut files = load::files(&settings);
            files.insert(file.clone());
            folders.watch(&files);
            // Looked at with the folders watched already: no change falls in between.
            look(&proxy, &files, &mut seen).await;
        }
        tokio::select! {
            biased;
            () = is_over(&mut events) => {}
            () = quiet(watching.as_ref()) => {}
        }
    }
}

/// Waits for the end of any reload: what is watched may have changed, and one that was busy can be done now.
async fn is_over(events: &mut tokio::sync::broadcast::Receiver<kroxy_core::status::Event>) {
    loop {
        match events.recv().await {
            Ok(event) => match event.kind {
                // That another one runs is no end: that comes later.
                EventKind::Reload { report } if report.outcome != ReloadOutcome::Busy => return,
                EventKind::Reload { .. }
                | EventKind::ClusterTransition { .. }
                | EventKind::ProxyTransition { .. }
                | EventKind::Disconnects { .. }
                | EventKind::Log { .. }
                | EventKind::Missed { .. }
                | EventKind::Unknown => {}
            },
            Err(RecvError::Lagged(_)) => return,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// Waits until something has happened in the folders and it has become quiet there.
async fn quiet(folders: Option<&Folders>) {
    let Some(folders) = folders else { return std::future::pending().await };
    folders.touched.notified().await;
    let becomes_quiet = async { while tokio::time::timeout(QUIET, folders.touched.notified()).await.is_ok() {} };
    // Not quiet in time: looked at all the same.
    let _ = tokio::time::timeout(QUIET_AFTER_AT_MOST, becomes_quiet).await;
}

/// Reloads if the files hold something else than what is in force.
async fn look<N: Net>(proxy: &Proxy<N>, files: &BTreeSet<PathBuf>, seen: &mut Option<Vec<Contents>>) {
    let now = Some(files.iter().map(|file| contents(file)).collect());
    if *seen == now {
        return;
    }
    if proxy.read_again().is_ok_and(|loaded| loaded.digest() == proxy.digest()) {
        *seen = now;
        return;
    }
    info!("the configuration has changed");
    match proxy.reload_source(Trigger::Watch).await {
        // Its end is a reason to look again.
        Ok(report) if report.outcome == ReloadOutcome::Busy => {}
        Ok(_) => *seen = now,
        Err(refused) => info!("not reloaded: {refused}"),
    }
}

/// A digest of what a file holds, or why it cannot be read.
type Contents = Result<[u8; 32], io::ErrorKind>;

fn contents(file: &Path) -> Contents {
    let held = config::read(file).map_err(|e| e.kind())?;
    let digest = ring::digest::digest(&ring::digest::SHA256, &held);
    Ok(digest.as_ref().try_into().expect("SHA-256 has 32 bytes"))
}

/// The folders in which something may happen that changes what a file holds.
struct Folders {
    watcher: RecommendedWatcher,
    watched: BTreeSet<PathBuf>,
    touched: Arc<Notify>,
}

impl Folders {
    fn new() -> notify::Result<Self> {
        let touched = Arc::new(Notify::new());
        let tell = touched.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            // Reading is no change, and the proxy reads. After an error nobody knows what has happened.
            if event.is_ok_and(|event| is_only_read(event.kind)) {
                return;
            }
            tell.notify_one();
        })?;
        Ok(Self { watcher, watched: BTreeSet::new(), touched })
    }

    /// Watches the folders of these files and no others. A folder that was replaced by another of its name is watched anew.
    fn watch(&mut self, files: &BTreeSet<PathBuf>) {
        let wanted: BTreeSet<_> = files.iter().flat_map(|file| folders_of(file)).collect();
        for gone in self.watched.difference(&wanted) {
            let _ = self.watcher.unwatch(gone); // an error means that it is there no more
        }
        self.watched = wanted;
        for folder in &self.watched {
            if let Err(e) = self.watcher.watch(folder, RecursiveMode::NonRecursive) {
                warn!("{} cannot be watched: {e}", folder.display());
            }
        }
    }
}

const fn is_only_read(kind: Noticed) -> bool {
    matches!(kind, Noticed::Access(access) if !matches!(access, AccessKind::Close(AccessMode::Write)))
}

/// The folder of a file, and those of every symbolic link on the way to it.
fn folders_of(file: &Path) -> BTreeSet<PathBuf> {
    let mut folders = BTreeSet::new();
    let mut left: Vec<PathBuf> = steps(file);
    let (mut at, mut links) = (PathBuf::new(), 0);
    while let Some(step) = left.pop() {
        let next = at.join(&step);
        let is_last = left.is_empty();
        match next.read_link() {
            Ok(target) if links < LINKS_MAX => {
                links += 1;
                folders.insert(folder(&at));
                if target.is_absolute() {
                    at = PathBuf::new();
                }
                left.extend(steps(&target));
            }
            Ok(_) | Err(_) if is_last => {
                // A folder that is missing comes up in one above it.
                let there = at.ancestors().map(folder).find(|folder| folder.is_dir());
                folders.extend(there);
            }
            Ok(_) | Err(_) => at = next,
        }
    }
    folders
}

/// The parts of a path, last one first.
fn steps(path: &Path) -> Vec<PathBuf> {
    path.components().rev().filter(|c| *c != Component::CurDir).map(|c| PathBuf::from(c.as_os_str())).collect()
}

fn folder(at: &Path) -> PathBuf {
    if at.as_os_str().is_empty() { PathBuf::from(".") } else { at.to_owned() }
}

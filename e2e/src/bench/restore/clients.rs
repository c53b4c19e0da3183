//! Sessions that ask something again and again, and reconnect when they are ended: a team's connection pools.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use kube::Client;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::testing::Session;
use crate::{Error, Result};

/// The pause between two questions of one session.
const PAUSE: Duration = Duration::from_millis(20);
/// The pause before a session that was refused tries again.
const RETRY: Duration = Duration::from_millis(100);

/// The sessions; they end with this value, or are asked for their figures.
pub(super) struct Clients {
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<Duration>>,
    connected: Arc<AtomicUsize>,
}

impl Clients {
    /// So many, with the login of this Secret. Nobody is connected yet.
    pub(super) fn start(client: &Client, secret: &BTreeMap<String, String>, count: usize) -> Self {
        let stop = watch::Sender::new(false);
        let connected = Arc::new(AtomicUsize::new(0));
        let tasks = (0..count).map(|_| {
            let one = One {
                client: client.clone(),
                secret: secret.clone(),
                connected: Arc::clone(&connected),
                last: None,
                longest: Duration::ZERO,
            };
            tokio::spawn(one.until(stop.subscribe()))
        });
        Self {
            tasks: tasks.collect(),
            stop,
            connected,
        }
    }

    /// How many have been answered by now, at least once.
    pub(super) fn connected(&self) -> usize {
        self.connected.load(Ordering::SeqCst)
    }

    /// Ends them. Of each, the longest time between two answers, from short to long.
    pub(super) async fn finish(mut self) -> Result<Vec<Duration>> {
        self.stop.send_replace(true);
        let mut all = Vec::new();
        for task in std::mem::take(&mut self.tasks) {
            all.push(task.await.map_err(Error::trial("end a session"))?);
        }
        all.sort();
        Ok(all)
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

struct One {
    client: Client,
    secret: BTreeMap<String, String>,
    connected: Arc<AtomicUsize>,
    last: Option<Instant>,
    longest: Duration,
}

impl One {
    async fn until(mut self, mut stop: watch::Receiver<bool>) -> Duration {
        tokio::select! {
            () = self.ask() => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
        self.longest
    }

    async fn ask(&mut self) {
        loop {
            if let Ok(mut session) = Session::open(&self.client, &self.secret).await {
                while session.run("SELECT 1").await.is_ok() {
                    self.answered();
                    tokio::time::sleep(PAUSE).await;
                }
            }
            // So that they do not all come at once.
            tokio::time::sleep(RETRY.mul_f64(rand::random_range(0.5..1.5))).await;
        }
    }

    fn answered(&mut self) {
        let now = Instant::now();
        match self.last.replace(now) {
            Some(last) => self.longest = self.longest.max(now - last),
            None => _ = self.connected.fetch_add(1, Ordering::SeqCst),
        }
    }
}

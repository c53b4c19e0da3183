//! One pass over an object of any kind: what it has at hand, and how it writes what it found. What only one kind knows of
//! itself is in that kind's `pass.rs`.

use std::time::Instant;

use jiff::Timestamp;
use kube::core::object::HasStatus;
use kube::core::{NamespaceResourceScope, ObjectMeta};
use kube::runtime::events::EventType;
use kube::{Api, Client, Resource};
use serde::Serialize;

use super::status::{self, When};
use super::{Error, Reconcile, events, finalizer};
use crate::api::{Condition, Report};

/// A kind whose controller alone writes its status, with a report of each pass in the conditions.
pub trait Reports:
    Reconcile + HasStatus<Status: Clone + Default + Serialize + Send + Sync>
{
    /// The field manager of its status.
    const MANAGER: &'static str;
    /// What is being done, as its Events name it.
    const ACTION: &'static str;

    /// The API that this object is read and written by.
    fn api(&self, client: &Client) -> Api<Self>;

    /// The part of a status that a report writes: the conditions, and the generation that they are about.
    fn reported(status: &mut Self::Status) -> (&mut Vec<Condition>, &mut Option<i64>);

    /// Whether an object with this status has ended; `None` for a kind that has no end.
    #[must_use]
    fn has_ended(_: &Self::Status) -> Option<bool> {
        None
    }
}

/// An object in the course of a pass. `Opened` is what a kind opens once and holds, such as the object's instance.
pub struct Pass<'a, K: Reports, Opened = ()> {
    /// What every pass over this kind has at hand.
    pub context: &'a K::Context,
    /// The object as it was read, or as it was last written.
    pub object: K,
    /// What was opened when the pass began.
    pub opened: Opened,
}

impl<'a, K: Reports, Opened> Pass<'a, K, Opened> {
    /// Begins a pass.
    pub fn begin(context: &'a K::Context, object: &K, opened: Opened) -> Self {
        Self {
            context,
            object: object.clone(),
            opened,
        }
    }

    /// The object's UID.
    pub fn uid(&self) -> String {
        self.object.meta().uid.clone().unwrap_or_default()
    }

    /// The object's namespace.
    pub fn namespace(&self) -> String {
        self.object.meta().namespace.clone().unwrap_or_default()
    }

    /// Whether the object is being deleted.
    pub fn is_deleting(&self) -> bool {
        self.object.meta().deletion_timestamp.is_some()
    }

    /// The object's status, if it has one.
    pub fn status(&self) -> Option<&K::Status> {
        self.object.status()
    }

    /// A copy of the object's status, to be changed and persisted.
    pub fn next_status(&self) -> K::Status {
        self.object.status().cloned().unwrap_or_default()
    }

    /// The objects of another kind in the object's namespace.
    pub fn beside<T>(&self) -> Api<T>
    where
        T: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.context.client.clone(), &self.namespace())
    }

    /// Persists a status. What was decided on an old copy of the object is refused.
    pub async fn persist(&mut self, next: K::Status) -> Result<(), Error> {
        let api = self.object.api(&self.context.client);
        let written = status::write(&api, K::MANAGER, &self.object, &next, When::Unchanged).await?;
        if let Some(written) = written {
            self.object = written;
            self.note_written(self.object.meta());
        }
        Ok(())
    }

    /// Persists a status with what its conditions say; nothing is written where nothing changed.
    pub async fn report(&mut self, mut next: K::Status, report: &Report) -> Result<(), Error> {
        let generation = self.object.meta().generation;
        let ended = K::has_ended(&next);
        let report = ended.map_or_else(|| report.clone(), |it| report.clone().finished(it));
        let (conditions, observed) = K::reported(&mut next);
        *observed = generation;
        report.record(conditions, generation, Timestamp::now());
        self.persist(next).await
    }

    /// Tells a person what was done.
    pub async fn record_event(&self, kind: EventType, reason: &str, note: String) {
        let events = &self.context.events;
        events::record(events, &self.object, K::ACTION, kind, reason, note).await;
    }

    /// Puts the finalizer on, if it is not there.
    pub async fn add_finalizer(&mut self) -> Result<(), Error> {
        let api = self.object.api(&self.context.client);
        self.object = finalizer::add(&api, &self.object).await?;
        self.note_written(self.object.meta());
        Ok(())
    }

    /// Puts the finalizer back on an object that has something to look after, and that somebody replaced as a whole.
    pub async fn restore_finalizer(&mut self, begun: bool) -> Result<(), Error> {
        if finalizer::is_lost(self.object.meta(), begun) {
            self.add_finalizer().await?;
        }
        Ok(())
    }

    /// Takes the finalizer off. An object that is being deleted goes with it.
    pub async fn remove_finalizer(&self) -> Result<(), Error> {
        let api = self.object.api(&self.context.client);
        let now = finalizer::remove(&api, &self.object).await?;
        if self.is_deleting() {
            let written = &self.context.written;
            written.let_go(&self.uid(), Instant::now());
        } else if let Some(now) = now {
            self.note_written(now.meta());
        }
        Ok(())
    }

    fn note_written(&self, meta: &ObjectMeta) {
        self.context.written.note(meta, Instant::now());
    }
}

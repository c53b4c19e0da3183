//! What a pass over an instance knows of it, beside what every pass knows of its object.

use kube::{Api, Client, ResourceExt};

use super::view::View;
use crate::api::instance::DatabaseInstanceStatus;
use crate::api::{Condition, DatabaseInstance};
use crate::controller::{self, Reports};

/// A `DatabaseInstance` in the course of a pass.
pub(super) type Pass<'a> = controller::Pass<'a, DatabaseInstance>;

impl Reports for DatabaseInstance {
    const MANAGER: &'static str = "db-operator-instance";
    const ACTION: &'static str = "Reconcile";

    fn api(&self, client: &Client) -> Api<Self> {
        Api::all(client.clone())
    }

    fn reported(status: &mut DatabaseInstanceStatus) -> (&mut Vec<Condition>, &mut Option<i64>) {
        (&mut status.conditions, &mut status.observed_generation)
    }
}

impl Pass<'_> {
    /// Its name.
    pub(super) fn name(&self) -> String {
        self.object.name_any()
    }

    /// What an observation may use.
    pub(super) fn view(&self) -> View<'_> {
        View::new(self.context, &self.object)
    }
}

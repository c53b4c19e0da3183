//! For each rule: what passes, what is refused, and a part of the sentence that says what to write instead.

mod databases;
mod fixtures;
mod init;
mod instances;
mod limits;
mod names;
mod restores;
mod updates;

use serde_json::{Value, json};

pub(crate) use fixtures::fixture;
pub(crate) use updates::updates;

/// One field, with values that pass and one that is refused.
pub(crate) struct Case {
    pub kind: &'static str,
    /// JSON pointer to the field in the fixture.
    pub field: &'static str,
    /// Where the rule is, if not at the field itself.
    rule: Option<&'static str>,
    good: Vec<Value>,
    pub bad: Value,
    pub sentence: &'static str,
    /// For a change: the object as it was, and its state.
    pub before: Value,
    pub state: Option<&'static str>,
    /// What else its status had.
    more: Value,
}

fn case(kind: &'static str, field: &'static str, bad: Value, sentence: &'static str) -> Case {
    Case {
        kind,
        field,
        rule: None,
        good: Vec::new(),
        bad,
        sentence,
        before: fixture(kind),
        state: None,
        more: Value::Null,
    }
}

impl Case {
    fn good(mut self, good: impl IntoIterator<Item = Value>) -> Self {
        self.good.extend(good);
        self
    }

    fn rule(mut self, rule: &'static str) -> Self {
        self.rule = Some(rule);
        self
    }

    fn before(mut self, field: &str, value: Value) -> Self {
        set(&mut self.before, field, value);
        self
    }

    fn state(mut self, state: &'static str) -> Self {
        self.state = Some(state);
        self
    }

    fn status(mut self, more: Value) -> Self {
        self.more = more;
        self
    }

    /// The status that the object had, if it had one.
    pub(crate) fn had(&self) -> Option<Value> {
        let mut status = self.more.clone();
        status["state"] = json!(self.state?);
        Some(status)
    }

    /// The same rule about the same fields in another block of the spec.
    fn moved(mut self, from: &str, to: &str) -> Self {
        let place = |field: &str, separator: char| {
            let block = |name: &str| format!("{separator}{name}{separator}");
            &*field.replacen(&block(from), &block(to), 1).leak()
        };
        self.field = place(self.field, '/');
        self.rule = self.rule.map(|rule| place(rule, '.'));
        self
    }

    /// The rule's path as the API server writes it: `/spec/adoptable/0/user` is `spec.adoptable[].user`.
    pub(crate) fn rule_field(&self) -> String {
        self.rule.map_or_else(
            || {
                let mut path = String::new();
                for part in self.field.split('/').skip(1) {
                    if part.parse::<usize>().is_ok() {
                        path.push_str("[]");
                    } else {
                        path.push('.');
                        path.push_str(part);
                    }
                }
                path.trim_start_matches('.').to_owned()
            },
            str::to_owned,
        )
    }

    pub(crate) fn passing(&self) -> Vec<(&Value, Value)> {
        self.good
            .iter()
            .map(|good| (good, self.with(good)))
            .collect()
    }

    pub(crate) fn refused(&self) -> Value {
        self.with(&self.bad)
    }

    fn with(&self, value: &Value) -> Value {
        let mut object = self.before.clone();
        set(&mut object, self.field, value.clone());
        object
    }

    pub(crate) fn passing_changes(&self) -> Vec<(&Value, Value)> {
        self.good
            .iter()
            .map(|good| (good, self.patch(good)))
            .collect()
    }

    pub(crate) fn refused_change(&self) -> Value {
        self.patch(&self.bad)
    }

    /// A merge patch that sets the field; null takes it away.
    fn patch(&self, value: &Value) -> Value {
        let mut patch = value.clone();
        for part in self.field.rsplit('/').filter(|part| !part.is_empty()) {
            patch = json!({part: patch});
        }
        patch
    }
}

/// Sets a field; null takes it away.
fn set(object: &mut Value, field: &str, value: Value) {
    let (parent, name) = field.rsplit_once('/').unwrap();
    let parent = object
        .pointer_mut(parent)
        .unwrap_or_else(|| panic!("the fixture has no {field}"));
    match (parent, value) {
        (Value::Object(parent), Value::Null) => drop(parent.remove(name)),
        (Value::Object(parent), value) => drop(parent.insert(name.to_owned(), value)),
        (Value::Array(parent), value) => parent[name.parse::<usize>().unwrap()] = value,
        (other, _) => panic!("{field} is in {other}"),
    }
}

/// Objects as they are created.
pub(crate) fn creations() -> Vec<Case> {
    let mut cases = names::object_names();
    cases.extend(names::sql_names());
    cases.extend(databases::secret_templates());
    cases.extend(instances::instances());
    cases.extend(instances::destinations());
    cases.extend(databases::databases());
    cases.extend(init::databases());
    cases.extend(databases::backups());
    cases.extend(restores::restores());
    cases.extend(restores::instances());
    cases.extend(limits::limits());
    cases
}

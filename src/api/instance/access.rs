//! Which namespaces may have Databases on a server.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use kube::KubeSchema;
use kube::core::{ParseExpressionError, Selector, SelectorExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which namespaces may have Databases on a server: exactly one field.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[x_kube(validation = Rule::new("(has(self.all) ? 1 : 0) + (has(self.names) ? 1 : 0) + (has(self.selector) ? 1 : 0) == 1")
    .message("write exactly one of all: true, names: [team-a] and selector: {matchLabels: {team: a}}"))]
pub struct AllowedNamespaces {
    /// `true`: every namespace of the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self")
        .message("all can only be true: to allow no namespace, write names: [] instead"))]
    pub all: Option<bool>,

    /// These namespaces, for example `[team-a, team-b]`; an empty list allows none. At most 1024.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), inner(length(min = 1, max = 63)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub names: Option<Vec<String>>,

    /// Namespaces with these labels. Anyone who may label a namespace decides who may use the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<NamespaceSelector>,
}

impl AllowedNamespaces {
    /// Whether a namespace of this name and with these labels may have Databases on the server.
    ///
    /// # Errors
    /// When the selector has an operator or a number of values that Kubernetes does not know.
    pub fn allows(
        &self,
        namespace: &str,
        labels: &BTreeMap<String, String>,
    ) -> Result<bool, ParseExpressionError> {
        let listed = self
            .names
            .as_ref()
            .is_some_and(|names| names.iter().any(|name| name == namespace));
        if self.all == Some(true) || listed {
            return Ok(true);
        }
        match &self.selector {
            Some(selector) => Ok(Selector::try_from(selector.to_label_selector())?.matches(labels)),
            None => Ok(false),
        }
    }
}

/// A label selector for namespaces, as elsewhere in Kubernetes.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.matchLabels) && size(self.matchLabels) > 0 || has(self.matchExpressions) && size(self.matchExpressions) > 0")
    .message("an empty selector would match every namespace: set matchLabels or matchExpressions, or replace selector with all: true"))]
pub struct NamespaceSelector {
    /// Labels that the namespace must have, with these values, for example `{team: a}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 32))]
    pub match_labels: Option<BTreeMap<String, String>>,

    /// Requirements on the namespace's labels, all of which must hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub match_expressions: Option<Vec<LabelRequirement>>,
}

impl NamespaceSelector {
    fn to_label_selector(&self) -> LabelSelector {
        LabelSelector {
            match_labels: self.match_labels.clone(),
            match_expressions: self.match_expressions.as_ref().map(|requirements| {
                requirements
                    .iter()
                    .map(|r| LabelSelectorRequirement {
                        key: r.key.clone(),
                        operator: format!("{:?}", r.operator),
                        values: (!r.values.is_empty()).then(|| r.values.clone()),
                    })
                    .collect()
            }),
        }
    }
}

/// A requirement on one label.
#[derive(KubeSchema, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[x_kube(validation = Rule::new("(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)")
    .message("In and NotIn need values; Exists and DoesNotExist must have none"))]
pub struct LabelRequirement {
    /// The label's key, for example `team`.
    #[schemars(length(min = 1, max = 317))]
    pub key: String,

    /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
    pub operator: LabelOperator,

    /// The values for `In` and `NotIn`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 63)))]
    pub values: Vec<String>,
}

/// How a label is compared.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum LabelOperator {
    /// The label exists with one of the values.
    In,
    /// The label does not exist, or has another value.
    NotIn,
    /// The label exists.
    Exists,
    /// The label does not exist.
    DoesNotExist,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(text: &str) -> AllowedNamespaces {
        serde_yaml_ng::from_str(text).unwrap()
    }

    fn labels(team: &str) -> BTreeMap<String, String> {
        BTreeMap::from([("team".to_owned(), team.to_owned())])
    }

    #[test]
    fn all_and_names_and_selectors_allow_what_they_say() {
        let nothing = BTreeMap::new();
        assert!(allowed("all: true").allows("any", &nothing).unwrap());
        assert!(!allowed("names: []").allows("any", &nothing).unwrap());
        let names = allowed("names: [team-a]");
        assert!(names.allows("team-a", &nothing).unwrap());
        assert!(!names.allows("team-b", &labels("a")).unwrap());

        let selector = allowed("selector: {matchLabels: {team: a}}");
        assert!(selector.allows("any", &labels("a")).unwrap());
        assert!(!selector.allows("any", &labels("b")).unwrap());
        assert!(!selector.allows("any", &nothing).unwrap());
    }

    #[test]
    fn every_operator_is_understood() {
        for (operator, values, a, b, without) in [
            ("In", ", values: [a]", true, false, false),
            ("NotIn", ", values: [a]", false, true, true),
            ("Exists", "", true, true, false),
            ("DoesNotExist", "", false, false, true),
        ] {
            let selector = allowed(&format!(
                "selector: {{matchExpressions: [{{key: team, operator: {operator}{values}}}]}}"
            ));
            let said = [labels("a"), labels("b"), BTreeMap::new()]
                .map(|labels| selector.allows("any", &labels).unwrap());
            assert_eq!(said, [a, b, without], "{operator}");
        }
    }

    #[test]
    fn nothing_said_allows_nobody() {
        assert!(
            !AllowedNamespaces::default()
                .allows("any", &BTreeMap::new())
                .unwrap()
        );
    }
}

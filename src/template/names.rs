//! Whether every name in a team's template is known, wherever it stands: also where nothing is rendered now, because a
//! condition is false.

use handlebars::template::{HelperTemplate, Parameter, TemplateElement};
use handlebars::{Path, PathSeg, Template};
use serde_json::Value;

use super::TemplateError;

/// What makes a text of a value.
const HELPERS: [&str; 11] = [
    "uriencode",
    "eq",
    "ne",
    "gt",
    "gte",
    "lt",
    "lte",
    "and",
    "or",
    "not",
    "len",
];
/// What may stand around other tags. (`raw` keeps what is inside as it is.)
const BLOCKS: [&str; 3] = ["if", "unless", "raw"];

/// A line and a column, counted from one.
pub(super) type Position = (usize, usize);

/// Where a template begins.
pub(super) const START: Position = (1, 1);

/// The elements of a template, each with its position. What stands behind `{{else if …}}` has none of its own: it has that
/// of the block `around` it.
pub(super) fn located(
    template: &Template,
    around: Position,
) -> impl Iterator<Item = (&TemplateElement, Position)> {
    let elements = template.elements.iter().enumerate();
    elements.map(move |(index, element)| {
        let own = template.mapping.get(index);
        (element, own.map_or(around, |own| (own.0, own.1)))
    })
}

/// Refuses the first name that is not known, with its line.
pub(super) fn check(
    template: &Template,
    values: &Value,
    around: Position,
) -> Result<(), TemplateError> {
    for (element, position) in located(template, around) {
        check_element(element, values, position).map_err(|refused| match refused {
            Refused::Here(reason) => TemplateError::Syntax {
                line: position.0,
                column: position.1,
                reason,
            },
            Refused::Inside(error) => error,
        })?;
    }
    Ok(())
}

/// Every name that a template can use, in the order of their names: `host, hosts.reader, port`.
pub(super) fn known(values: &Value) -> String {
    let mut names = Vec::new();
    for (name, value) in values.as_object().into_iter().flatten() {
        match value.as_object() {
            Some(inner) => names.extend(inner.keys().map(|key| format!("{name}.{key}"))),
            None => names.push(name.clone()),
        }
    }
    names.join(", ")
}

enum Refused {
    /// The tag itself.
    Here(String),
    /// One between a block's tags, with its own line.
    Inside(TemplateError),
}

impl From<String> for Refused {
    fn from(reason: String) -> Self {
        Self::Here(reason)
    }
}

fn check_element(
    element: &TemplateElement,
    values: &Value,
    position: Position,
) -> Result<(), Refused> {
    match element {
        TemplateElement::RawString(_) | TemplateElement::Comment(_) => Ok(()),
        TemplateElement::Expression(tag) | TemplateElement::HtmlExpression(tag) => {
            Ok(check_tag(tag, values)?)
        }
        TemplateElement::HelperBlock(block) => {
            let name = name(&block.name);
            if !BLOCKS.contains(&name) {
                return Err(Refused::Here(format!(
                    "there is no block '{name}': the blocks are if and unless"
                )));
            }
            check_parameters(block, values)?;
            let mut inner = block.template.iter().chain(&block.inverse);
            inner.try_for_each(|inner| check(inner, values, position).map_err(Refused::Inside))
        }
        // Decorators and partials, which were refused before, and what may come.
        _ => Err(Refused::Here("this is not available here".to_owned())),
    }
}

/// A value, or a helper with its parameters.
fn check_tag(tag: &HelperTemplate, values: &Value) -> Result<(), String> {
    let name = name(&tag.name);
    if tag.params.is_empty() && tag.hash.is_empty() {
        // A helper without a parameter says by itself what it lacks.
        return if HELPERS.contains(&name) {
            Ok(())
        } else {
            check_parameter(&tag.name, values)
        };
    }
    if !HELPERS.contains(&name) {
        return Err(format!(
            "there is no helper '{name}': the helpers are {}",
            HELPERS.join(", ")
        ));
    }
    check_parameters(tag, values)
}

fn check_parameters(tag: &HelperTemplate, values: &Value) -> Result<(), String> {
    let mut all = tag.params.iter().chain(tag.hash.values());
    all.try_for_each(|parameter| check_parameter(parameter, values))
}

fn check_parameter(parameter: &Parameter, values: &Value) -> Result<(), String> {
    match parameter {
        Parameter::Literal(_) => Ok(()),
        Parameter::Subexpression(expression) => match expression.element.as_ref() {
            TemplateElement::Expression(tag) => check_tag(tag, values),
            _ => Err("this is not available here".to_owned()),
        },
        Parameter::Path(Path::Relative((segments, _))) if is_known(segments, values) => Ok(()),
        Parameter::Name(name) if values.get(name).is_some_and(|value| !value.is_object()) => Ok(()),
        other => Err(format!(
            "unknown name '{}': the names are {}",
            name(other),
            known(values)
        )),
    }
}

/// Whether a path leads to a value. It may begin at the root by saying so.
fn is_known(segments: &[PathSeg], values: &Value) -> bool {
    let mut at = values;
    for segment in segments {
        // The others are `@root` and `..`, and nothing leads away from the root here.
        if let PathSeg::Named(name) = segment {
            let Some(inner) = at.get(name) else {
                return false;
            };
            at = inner;
        }
    }
    !at.is_object()
}

/// What stands first in a tag.
pub(super) fn name(parameter: &Parameter) -> &str {
    match parameter {
        Parameter::Name(name)
        | Parameter::Path(Path::Relative((_, name)) | Path::Local((_, _, name))) => name,
        // A literal or a subexpression, which name nothing, and what may come.
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use serde_json::json;

    use super::super::render;
    use super::*;

    fn values() -> Value {
        json!({"host": "db", "password": "p", "ca": "", "hosts": {"reader": "replica"}})
    }

    #[test]
    fn an_unknown_name_is_refused_wherever_it_stands() {
        for template in [
            "{{pasword}}",
            "{{{pasword}}}",
            "{{&pasword}}",
            "{{uriencode pasword}}",
            "{{uriencode (uriencode pasword)}}",
            "{{uriencode password key=pasword}}",
            "{{#if pasword}}x{{/if}}",
            "{{#unless pasword}}x{{/unless}}",
            "{{#if (eq pasword \"x\")}}x{{/if}}",
            "{{#if (and password (not pasword))}}x{{/if}}",
            // Nothing of these is rendered.
            "{{#if ca}}{{pasword}}{{/if}}",
            "{{#if ca}}{{#if host}}{{uriencode pasword}}{{/if}}{{/if}}",
            "{{#if host}}{{else}}{{pasword}}{{/if}}",
            "{{#if host}}{{else if pasword}}{{/if}}",
            "{{#if host}}{{else if ca}}{{pasword}}{{/if}}",
            "{{#if host}}{{else if ca}}{{else}}{{pasword}}{{/if}}",
            "{{#if ca}}{{this.pasword}}{{/if}}",
            "{{#if ca}}{{@root.pasword}}{{/if}}",
        ] {
            let error = render(template, &values()).unwrap_err().to_string();
            assert!(error.contains("pasword'"), "{template}: {error}");
            let names = "the names are ca, host, hosts.reader, password";
            assert!(error.contains(names), "{template}: {error}");
            assert!(error.starts_with("line 1, column "), "{template}: {error}");
        }
    }

    #[test]
    fn what_leads_to_no_value_is_unknown() {
        for path in [
            "hosts",
            "hosts.writer",
            "host.x",
            "hosts.reader.x",
            "this",
            "@root",
            "@index",
            "../pasword",
        ] {
            let template = format!("{{{{#if ca}}}}{{{{uriencode {path}}}}}{{{{/if}}}}");
            let error = render(&template, &values());
            assert!(error.is_err(), "{template}: {error:?}");
        }
    }

    #[test]
    fn unknown_helpers_and_blocks_are_refused_wherever_they_stand() {
        for tag in [
            "{{nohelper host}}",
            "{{lookup this \"host\"}}",
            "{{#each hosts}}{{this}}{{/each}}",
            "{{#with hosts}}{{reader}}{{/with}}",
            "{{#host}}x{{/host}}",
            "{{#if (nohelper host)}}x{{/if}}",
        ] {
            for template in [tag.to_owned(), format!("{{{{#if ca}}}}{tag}{{{{/if}}}}")] {
                let error = render(&template, &values()).unwrap_err().to_string();
                assert!(error.contains("there is no "), "{template}: {error}");
            }
        }
    }

    #[test]
    fn what_is_known_is_rendered() {
        for (template, expected) in [
            (
                "{{host}} {{this.host}} {{@root.host}} {{./host}}",
                "db db db db",
            ),
            (
                "{{hosts.reader}} {{uriencode hosts.reader}}",
                "replica replica",
            ),
            ("{{#if hosts.reader}}{{hosts.reader}}{{/if}}", "replica"),
            (
                "{{#if ca}}a{{else if (eq host \"db\")}}b{{else}}c{{/if}}",
                "b",
            ),
            (
                "{{#unless ca}}{{len password}}{{/unless}}{{! pasword }}",
                "1",
            ),
            ("{{{{raw}}}}{{pasword}}{{{{/raw}}}}", "{{pasword}}"),
            ("\\{{pasword}}", "{{pasword}}"),
        ] {
            assert_eq!(render(template, &values()).unwrap(), expected, "{template}");
        }
    }
}

//! Handlebars, in the only form this project uses it: strict, without HTML escapes, without partials, and bounded.
//!
//! A template is untrusted input. It gets a closed map of values and no way to look anything up; a name that is not
//! in the map is an error that says so, wherever it stands (`names.rs`). Nesting and output are limited because the
//! parser recurses. `yaml.rs` has the form for YAML, where values are data and cannot change what is around them.

mod names;
mod yaml;

use std::io;

use handlebars::{
    Context, Handlebars, Helper, HelperResult, Output, RenderContext, RenderErrorReason, Template,
    no_escape,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

pub use yaml::render_yaml;

/// Brackets within brackets; far more than a person writes, far less than what exhausts a stack.
const DEEPEST: usize = 32;
/// Tags (`{{…}}`) in one template.
const MOST_TAGS: usize = 256;
/// What a template may grow to: a Secret holds 1 MiB in all.
const LONGEST_OUTPUT: usize = 64 * 1024;
/// Everything but RFC 3986's unreserved characters, so that a value is safe in any part of a URI.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Why a template gave no result. Never holds a value, only names and positions.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TemplateError {
    /// A bound of this module was passed.
    #[error("the template is too complex: at most {MOST_TAGS} tags, nested at most {DEEPEST} deep")]
    TooComplex,
    /// The result is too long.
    #[error("the template's result is longer than {LONGEST_OUTPUT} bytes")]
    TooLong,
    /// It is not handlebars.
    #[error("line {line}, column {column}: {reason}")]
    Syntax {
        /// Counted from one.
        line: usize,
        /// Counted from one.
        column: usize,
        /// The parser's word for it.
        reason: String,
    },
    /// It names a value that there is not.
    #[error("unknown name '{name}': the names are {known}")]
    UnknownName {
        /// What the template asked for.
        name: String,
        /// What it could have asked for.
        known: String,
    },
    /// A helper was called wrongly, or does not exist.
    #[error("{0}")]
    Render(String),
}

/// Renders a template of an application team: no loops, so that its cost is bounded by its length.
pub fn render(template: &str, values: &Value) -> Result<String, TemplateError> {
    check_inclusion(template)?;
    let template = compile(template)?;
    names::check(&template, values, names::START)?;
    let mut registry = registry();
    registry.register_helper("uriencode", Box::new(uriencode));
    // Values are plain texts: there is nothing in them to go to, or to look up.
    for helper in ["with", "lookup"] {
        registry.unregister_helper(helper);
    }
    finish(registry, template, values)
}

fn registry() -> Handlebars<'static> {
    let mut registry = Handlebars::new();
    registry.set_strict_mode(true);
    registry.register_escape_fn(no_escape);
    // `log` writes to the operator's log; nested loops over the values need no long template to take for ever.
    for helper in ["log", "each"] {
        registry.unregister_helper(helper);
    }
    registry
}

fn compile(template: &str) -> Result<Template, TemplateError> {
    check_complexity(template)?;
    Template::compile(template).map_err(|error| {
        let (line, column) = error.pos().unwrap_or((1, 1));
        TemplateError::Syntax {
            line,
            column,
            reason: error.reason().to_string(),
        }
    })
}

fn finish(
    mut registry: Handlebars<'_>,
    template: Template,
    values: &Value,
) -> Result<String, TemplateError> {
    registry.register_template("template", template);
    let mut output = Bounded(Vec::new());
    registry
        .render_to_write("template", values, &mut output)
        .map_err(|error| explain(error.reason(), values))?;
    String::from_utf8(output.0).map_err(|_| TemplateError::TooLong)
}

/// Percent-encodes a value for use anywhere in a URI.
#[must_use]
pub fn percent_encode(value: &str) -> String {
    utf8_percent_encode(value, RESERVED).to_string()
}

fn uriencode(
    helper: &Helper<'_>,
    _: &Handlebars<'_>,
    _: &Context,
    _: &mut RenderContext<'_, '_>,
    out: &mut dyn Output,
) -> HelperResult {
    let parameter = helper
        .param(0)
        .ok_or(RenderErrorReason::ParamNotFoundForIndex("uriencode", 0))?;
    if let Some(name) = parameter
        .relative_path()
        .filter(|_| parameter.is_value_missing())
    {
        return Err(RenderErrorReason::MissingVariable(Some(name.clone())).into());
    }
    let text = match parameter.value() {
        Value::String(text) => percent_encode(text),
        other => percent_encode(&other.to_string()),
    };
    Ok(out.write(&text)?)
}

fn explain(reason: &RenderErrorReason, values: &Value) -> TemplateError {
    match reason {
        RenderErrorReason::MissingVariable(name) => TemplateError::UnknownName {
            name: name.clone().unwrap_or_default(),
            known: names::known(values),
        },
        RenderErrorReason::IOError(_) => TemplateError::TooLong,
        other => TemplateError::Render(other.to_string()),
    }
}

/// Looks without parsing, since it is the parser that has to be spared.
fn check_complexity(template: &str) -> Result<(), TemplateError> {
    let mut depth = 0_usize;
    let mut deepest = 0;
    for character in template.chars() {
        match character {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    let blocks = tags(template).filter(|(_, tag)| tag.starts_with('#'));
    let blocks = blocks.count();
    if deepest > DEEPEST || blocks > DEEPEST || tags(template).count() > MOST_TAGS {
        return Err(TemplateError::TooComplex);
    }
    Ok(())
}

/// Nothing may be included: what includes itself exhausts the stack, and ends the process with it.
fn check_inclusion(template: &str) -> Result<(), TemplateError> {
    for (at, tag) in tags(template) {
        let inside = tag.strip_prefix('#').map_or(tag, str::trim_start);
        if inside.starts_with(['>', '*']) {
            let before = template[..at].lines();
            return Err(TemplateError::Syntax {
                line: before.clone().count().max(1),
                column: before.last().map_or(0, str::len) + 1,
                reason:
                    "partials and decorators are not available: write out what is to be included"
                        .to_owned(),
            });
        }
    }
    Ok(())
}

/// Where each `{{` is, and what follows it from the first character that means something.
fn tags(template: &str) -> impl Iterator<Item = (usize, &str)> {
    let meaningless = |character: char| matches!(character, '{' | '~') || character.is_whitespace();
    template
        .match_indices("{{")
        .map(move |(at, _)| (at, template[at..].trim_start_matches(meaningless)))
}

/// A writer that refuses what is too long.
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > LONGEST_OUTPUT {
            return Err(io::Error::other("too long"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn values() -> Value {
        json!({"username": "o'rders", "password": "p@ss/w:rd%#?&=+ \"\\é<>", "port": 5432, "jdbc-url": "jdbc:x"})
    }

    #[test]
    fn values_are_put_in_as_they_are() {
        let rendered = render("{{username}}:{{password}}@{{port}} {{jdbc-url}}", &values());
        assert_eq!(
            rendered.unwrap(),
            "o'rders:p@ss/w:rd%#?&=+ \"\\é<>@5432 jdbc:x"
        );
    }

    #[test]
    fn uriencode_encodes_all_that_is_not_unreserved() {
        assert_eq!(
            render("{{uriencode password}}/{{uriencode port}}", &values()).unwrap(),
            "p%40ss%2Fw%3Ard%25%23%3F%26%3D%2B%20%22%5C%C3%A9%3C%3E/5432"
        );
    }

    #[test]
    fn an_unknown_name_is_an_error_that_names_it() {
        for template in [
            "x {{pasword}}",
            "{{uriencode pasword}}",
            "{{#if true}}{{pasword}}{{/if}}",
        ] {
            let error = render(template, &values()).unwrap_err().to_string();
            assert!(
                error.contains("'pasword'") && error.contains("jdbc-url, password, port"),
                "{template}: {error}"
            );
        }
    }

    #[test]
    fn errors_never_show_a_value() {
        for template in [
            "{{password.x}}",
            "{{nohelper password}}",
            "{{uriencode}}",
            "{{lookup password \"x\"}}{{/if}}",
        ] {
            let error = render(template, &values()).unwrap_err().to_string();
            assert!(!error.contains("p@ss"), "{template}: {error}");
        }
    }

    /// One that includes itself would exhaust the stack, and end the process with it.
    #[test]
    fn nothing_is_included() {
        for template in [
            "{{> other}}",
            "{{~ > other}}",
            "{{#> other}}{{/other}}",
            "{{* other}}",
            "{{#*inline \"a\"}}{{> a}}{{/inline}}{{> a}}",
            "{{~# *inline \"a\"}}{{~> a}}{{/inline}}{{~> a}}",
        ] {
            let error = render(template, &values()).unwrap_err().to_string();
            let words = "line 1, column 1: partials and decorators are not available";
            assert!(error.starts_with(words), "{template}: {error}");
        }
    }

    #[test]
    fn what_reaches_outside_or_runs_for_ever_is_refused() {
        let deep = "{{#if username}}".repeat(5000);
        let brackets = format!("{{{{uriencode {}", "(".repeat(5000));
        let array = format!("{{{{uriencode {}", "[".repeat(5000));
        let forms = [
            "{{> other}}",
            "{{#each this}}x{{/each}}",
            "{{#with this}}{{password}}{{/with}}",
            "{{lookup this \"username\"}}",
            "{{lookup this \"../env\"}}",
            "{{@root.admin}}",
            "{{env.PATH}}",
            "{{exec \"id\"}}",
            "{{log username}}",
            "{{* inline}}",
            &deep,
            &brackets,
            &array,
        ];
        for template in forms {
            let rendered = render(template, &values());
            assert!(rendered.is_err(), "{template}: {rendered:?}");
        }
    }

    #[test]
    fn a_syntax_error_says_where() {
        let error = render("ok\n{{#if}}", &values()).unwrap_err();
        assert!(
            matches!(error, TemplateError::Syntax { line: 2, .. }),
            "{error}"
        );
    }

    /// What this thread has computed for: other tests may run beside it.
    fn processor_time() -> std::time::Duration {
        use nix::time::{ClockId, clock_gettime};
        clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)
            .unwrap()
            .into()
    }

    /// Whatever passes the checks, or is refused by the parser, is done in a moment: all of a Secret's 32 templates.
    #[test]
    fn no_template_takes_long() {
        const LONGEST: usize = 8192;
        let nested = |open: &str, close: &str, times: usize| {
            format!("{}username{}", open.repeat(times), close.repeat(times))
        };
        let blocks = format!(
            "{}x{}",
            "{{#if username}}".repeat(DEEPEST),
            "{{/if}}".repeat(DEEPEST)
        );
        let mut templates = vec![
            "{{uriencode password}}".repeat(MOST_TAGS),
            format!("{{{{uriencode {}}}}}", nested("(uriencode ", ")", 29)),
            format!("{{{{uriencode {}}}}}", nested("(", ")", 29)),
            format!("{{{{uriencode {}", nested("(uriencode ", "", 29)),
            format!("{{{{uriencode {}}}}}", nested("[", "]", 29)),
            format!("{{{{uriencode a={}", nested("(uriencode a=", ")", 28)),
            format!("{{{{uriencode {}}}}}", "a=b ".repeat(1500)),
            format!("{{{{{}}}}}", "a.".repeat(4000)),
            format!("{{{{{}}}}}", "../".repeat(2000)),
            format!("{{{{\"{}}}}}", "\\\"".repeat(3000)),
            format!("{{{{!-- {}", "--".repeat(3000)),
            blocks,
            "x".repeat(LONGEST),
            "\\{{".repeat(85),
        ];
        for template in &mut templates {
            assert!(template.len() <= LONGEST, "{}", template.len());
            let began = processor_time();
            for _ in 0..32 {
                let _ = render(template, &values());
            }
            let took = processor_time().checked_sub(began).unwrap();
            assert!(
                took.as_secs() < 3,
                "{took:?} in a debug build: {template:.60}"
            );
        }
    }

    #[test]
    fn long_results_are_refused() {
        let values = json!({"a": "x".repeat(1000)});
        assert_eq!(
            render(&"{{a}}".repeat(200), &values),
            Err(TemplateError::TooLong)
        );
    }
}

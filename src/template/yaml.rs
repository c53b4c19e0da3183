//! Templates of YAML: a value goes in as a JSON string, which YAML reads as that very string, whatever is in it.

use handlebars::template::{HelperTemplate, Parameter, TemplateElement};
use handlebars::{
    Context, Handlebars, Helper, HelperDef, HelperResult, Output, Path, PathSeg, RenderContext,
    RenderErrorReason, Template,
};
use serde_json::Value;

use super::names::{self, Position, name};
use super::{TemplateError, compile, finish, registry};

/// Writes a value as JSON.
const JSON: &str = "json";
/// The same for a container's `command`, `args` and `env`, where Kubernetes would read `$(NAME)` in it.
const ARG: &str = "arg";
/// What a condition may be made with.
const LOGIC: [&str; 5] = ["eq", "ne", "and", "or", "not"];

/// Renders a template of YAML.
///
/// There are `{{json name}}`, `{{arg name}}`, `if` and `unless` with a name or `(eq name "text")`, and comments; all
/// else is refused, with its line, before anything is rendered.
pub fn render_yaml(template: &str, values: &Value) -> Result<String, TemplateError> {
    let template = compile(template)?;
    check(&template, values, names::START)?;
    let mut registry = registry();
    registry.register_helper(
        JSON,
        Box::new(Literal {
            doubles_dollars: false,
        }),
    );
    registry.register_helper(
        ARG,
        Box::new(Literal {
            doubles_dollars: true,
        }),
    );
    finish(registry, template, values)
}

struct Literal {
    doubles_dollars: bool,
}

impl HelperDef for Literal {
    fn call<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        let parameter = helper
            .param(0)
            .ok_or(RenderErrorReason::ParamNotFoundForIndex(JSON, 0))?;
        let text = literal(parameter.value());
        let text = if self.doubles_dollars {
            text.replace('$', "$$")
        } else {
            text
        };
        Ok(out.write(&text)?)
    }
}

/// JSON that is YAML too: what YAML does not take as it is, or takes for the end of a line, is written as an escape.
fn literal(value: &Value) -> String {
    let mut text = String::new();
    for c in value.to_string().chars() {
        match c {
            '\u{7f}'..='\u{9f}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{feff}'
            | '\u{fffe}'
            | '\u{ffff}' => text.extend(format!("\\u{:04x}", u32::from(c)).chars()),
            _ => text.push(c),
        }
    }
    text
}

/// Looks at each tag, in order.
fn check(template: &Template, values: &Value, around: Position) -> Result<(), TemplateError> {
    for (element, position) in names::located(template, around) {
        let refused = |reason| TemplateError::Syntax {
            line: position.0,
            column: position.1,
            reason,
        };
        match element {
            TemplateElement::RawString(_) | TemplateElement::Comment(_) => {}
            TemplateElement::Expression(tag) | TemplateElement::HtmlExpression(tag) => {
                check_value(tag, values).map_err(refused)?;
            }
            TemplateElement::HelperBlock(block) => {
                check_block(block, values).map_err(refused)?;
                for inner in block.template.iter().chain(&block.inverse) {
                    check(inner, values, position)?;
                }
            }
            // Decorators and partials, and what may come.
            _ => {
                return Err(refused(
                    "partials and decorators are not available here".to_owned(),
                ));
            }
        }
    }
    Ok(())
}

fn check_value(tag: &HelperTemplate, values: &Value) -> Result<(), String> {
    match (name(&tag.name), tag.params.as_slice()) {
        (JSON | ARG, [value]) if tag.hash.is_empty() => check_operand(value, values),
        (helper @ (JSON | ARG), _) => Err(format!("{{{{{helper} …}}}} takes one name")),
        (other, []) => Err(format!(
            "write {{{{json {other}}}}}: a value goes in as JSON only"
        )),
        (other, _) => Err(format!(
            "there is no helper '{other}': values go in by {{{{json name}}}} and {{{{arg name}}}}"
        )),
    }
}

fn check_block(block: &HelperTemplate, values: &Value) -> Result<(), String> {
    match (name(&block.name), block.params.as_slice()) {
        ("if" | "unless", [condition]) if block.hash.is_empty() && block.block_param.is_none() => {
            check_condition(condition, values)
        }
        (kind @ ("if" | "unless"), _) => Err(format!(
            "{{{{#{kind} …}}}} takes one name or (eq name \"text\")"
        )),
        (other, _) => Err(format!(
            "there is no block '{other}': the blocks are if and unless"
        )),
    }
}

fn check_condition(condition: &Parameter, values: &Value) -> Result<(), String> {
    let Parameter::Subexpression(expression) = condition else {
        return check_operand(condition, values);
    };
    if !LOGIC.contains(&expression.name()) {
        return Err(format!(
            "there is no condition '{}': the conditions are {}",
            expression.name(),
            LOGIC.join(", ")
        ));
    }
    expression
        .params()
        .into_iter()
        .flatten()
        .try_for_each(|operand| check_condition(operand, values))
}

fn check_operand(operand: &Parameter, values: &Value) -> Result<(), String> {
    let name = match operand {
        Parameter::Literal(_) => return Ok(()),
        Parameter::Path(Path::Relative((segments, raw))) => match segments.as_slice() {
            [PathSeg::Named(name)] if values.get(name).is_some() => return Ok(()),
            _ => raw.as_str(),
        },
        Parameter::Path(Path::Local((_, _, raw))) => raw.as_str(),
        Parameter::Name(name) => name.as_str(),
        // A subexpression, and what may come.
        _ => return Err("a name is expected here, not (…)".to_owned()),
    };
    Err(format!(
        "unknown name '{name}': the names are {}",
        names::known(values)
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn values() -> Value {
        json!({"image": "postgres:17", "flavour": "mysql", "port": 5432, "odd": "a$(B)\n\"{{x}}\""})
    }

    #[test]
    fn values_are_data() {
        let rendered = render_yaml(
            "{{! why }}\nimage: {{json image}}\nport: {{json port}}\nname: {{json odd}}\nargs: [{{arg odd}}]\n",
            &values(),
        );
        let read: Value = serde_yaml_ng::from_str(&rendered.unwrap()).unwrap();
        assert_eq!(
            read,
            json!({"image": "postgres:17", "port": 5432, "name": "a$(B)\n\"{{x}}\"", "args": ["a$$(B)\n\"{{x}}\""]})
        );
    }

    #[test]
    fn conditions_choose() {
        let template = "{{#if (eq flavour \"mariadb\")}}a{{else if (not (eq port 5432))}}b{{else}}c{{/if}}\
            {{#unless (or (eq flavour \"mysql\") false)}}d{{/unless}}";
        assert_eq!(render_yaml(template, &values()).unwrap(), "c");
    }

    #[test]
    fn all_else_is_refused_with_its_line() {
        for (tag, says) in [
            ("{{image}}", "write {{json image}}"),
            ("{{{image}}}", "write {{json image}}"),
            ("{{&image}}", "write {{json image}}"),
            ("{{this}}", "write {{json this}}"),
            (
                "{{json imag}}",
                "unknown name 'imag': the names are flavour, image",
            ),
            ("{{json this}}", "unknown name 'this'"),
            ("{{json @root}}", "unknown name '@root'"),
            ("{{json image.x}}", "unknown name 'image.x'"),
            ("{{json ../image}}", "unknown name '../image'"),
            ("{{json}}", "takes one name"),
            ("{{json image port}}", "takes one name"),
            ("{{json image x=1}}", "takes one name"),
            ("{{json (lookup this \"image\")}}", "not (…)"),
            ("{{lookup this \"image\"}}", "no helper 'lookup'"),
            ("{{uriencode image}}", "no helper 'uriencode'"),
            ("{{log image}}", "no helper 'log'"),
            ("{{#each this}}x{{/each}}", "no block 'each'"),
            ("{{#with image}}x{{/with}}", "no block 'with'"),
            ("{{#if imag}}x{{/if}}", "unknown name 'imag'"),
            (
                "{{#if image}}{{else if imag}}x{{/if}}",
                "unknown name 'imag'",
            ),
            (
                "{{#if image}}{{else if port}}{{imag}}{{/if}}",
                "write {{json imag}}",
            ),
            ("{{#if (gt imag 1)}}x{{/if}}", "no condition 'gt'"),
            ("{{#if (eq imag 1)}}x{{/if}}", "unknown name 'imag'"),
            ("{{#if false}}{{imag}}{{/if}}", "write {{json imag}}"),
            (
                "{{#if image}}{{else}}{{imag}}{{/if}}",
                "write {{json imag}}",
            ),
            ("{{> other}}", "not available"),
            ("{{* decorate}}", "not available"),
            ("{{#> other}}x{{/other}}", "not available"),
            ("{{#*inline \"x\"}}x{{/inline}}", "not available"),
            ("{{#if}}x{{/if}}", ""),
        ] {
            let error = render_yaml(&format!("a: b\n{tag}\n"), &values()).unwrap_err();
            assert!(
                matches!(error, TemplateError::Syntax { line: 2, .. })
                    && error.to_string().contains(says),
                "{tag}: {error}"
            );
        }
    }

    proptest! {
        /// Everywhere that a value may stand, and whatever characters it is made of.
        #[test]
        fn any_text_is_read_back_as_it_was(text in any::<String>(), odd in "[\u{0}-\u{a0}\u{2028}\u{2029}\u{feff}\u{fff0}-\u{1ffff}]*") {
            for text in [text, odd] {
                let rendered = render_yaml("a: {{json x}}\nb: [{{json x}}, c]\nd:\n  - {{json x}}\n{{json x}}: e\n", &json!({"x": text}));
                // A key of YAML has a limit that no value has.
                prop_assume!(text.len() < 100);
                let mut expected = json!({"a": text, "b": [text, "c"], "d": [text]});
                expected[&text] = json!("e");
                prop_assume!(!["a", "b", "d"].contains(&text.as_str()));
                prop_assert_eq!(serde_yaml_ng::from_str::<Value>(&rendered.unwrap()).unwrap(), expected);
            }
        }
    }
}

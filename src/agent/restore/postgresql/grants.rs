//! The privileges that an archive gives: which of their statements are for roles of this database. Pure.
//!
//! `pg_dump` writes all statements about one object into one entry. Each is looked at by itself: what is taken away from
//! PUBLIC is taken away whoever else is named beside it.

use crate::agent::dump::completeness::statement::{Token, tokens};

/// What becomes of a statement.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// It is run.
    Runs,
    /// It is run in these words, without the former owner's name.
    RunsAs(Vec<u8>),
    /// It is about the former owner itself: the present one owns everything.
    OfFormerOwner,
    /// It is about this role, which is not of this database.
    OfOther(String),
    /// It is not of a known form.
    Odd,
}

/// Which roles count.
#[derive(Clone, Copy, Debug)]
pub(super) struct Roles<'a> {
    /// The role that everything belongs to.
    pub owner: &'a str,
    /// The role that it belonged to, if the manifest tells.
    pub former: Option<&'a str>,
    /// Other roles of the database.
    pub others: &'a [String],
}

/// The statements of an entry, without what is between them.
pub(super) fn statements(definition: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = definition;
    std::iter::from_fn(move || {
        loop {
            if rest.trim_ascii().is_empty() {
                return None;
            }
            let end = end_of_statement(rest);
            let (statement, after) = rest.split_at(end);
            rest = after.get(1..).unwrap_or_default();
            let statement = statement.trim_ascii();
            if !statement.is_empty() {
                return Some(statement);
            }
        }
    })
}

/// Where the first semicolon outside quotes is, or the end.
fn end_of_statement(text: &[u8]) -> usize {
    let mut quote = None;
    for (at, &byte) in text.iter().enumerate() {
        match quote {
            Some(open) if byte == open => quote = None,
            None if byte == b'"' || byte == b'\'' => quote = Some(byte),
            None if byte == b';' => return at,
            Some(_) | None => {}
        }
    }
    text.len()
}

/// Decides about one statement.
pub(super) fn judge(statement: &[u8], roles: Roles<'_>) -> Verdict {
    let Some((of, to)) = subjects(statement) else {
        return Verdict::Odd;
    };
    // Of default privileges: those of the owner alone can be set by the owner, who has taken the former one's place.
    let of_former = match of {
        Some(of) if of == roles.owner => false,
        Some(of) if Some(of.as_str()) == roles.former => true,
        Some(of) => return Verdict::OfOther(of),
        None => false,
    };
    let is_here = to == "PUBLIC" || to == roles.owner || roles.others.contains(&to);
    if is_here && of_former {
        without_role(statement).map_or(Verdict::Odd, Verdict::RunsAs)
    } else if is_here {
        Verdict::Runs
    } else if Some(to.as_str()) == roles.former {
        Verdict::OfFormerOwner
    } else {
        Verdict::OfOther(to)
    }
}

/// Whose default privileges a statement is about, and to or from whom it gives or takes.
fn subjects(statement: &[u8]) -> Option<(Option<String>, String)> {
    let all: Vec<Token<'_>> = tokens(statement).collect();
    let word = |at: usize, expected: &str| all.get(at) == Some(&Token::Word(expected.as_bytes()));
    let name = |at: usize| {
        let name = all.get(at)?.clone().name()?;
        String::from_utf8(name).ok()
    };
    let (of, verb) = if word(0, "ALTER") && word(1, "DEFAULT") && word(2, "PRIVILEGES") {
        let of = (word(3, "FOR") && word(4, "ROLE")).then(|| name(5))??;
        let verb = all
            .iter()
            .position(|token| matches!(token, Token::Word(b"GRANT" | b"REVOKE")))?;
        (Some(of), verb)
    } else {
        (None, 0)
    };
    let toward: &[u8] = match all.get(verb)? {
        Token::Word(b"GRANT") => b"TO",
        Token::Word(b"REVOKE") => b"FROM",
        Token::Word(_) | Token::Quoted(_) | Token::Sign(_) => return None,
    };
    let at = all
        .iter()
        .rposition(|token| *token == Token::Word(toward))?;
    let to = name(at + 1)?;
    let rest = &all[at + 2..];
    let may_pass_on = rest
        == [
            Token::Word(b"WITH"),
            Token::Word(b"GRANT"),
            Token::Word(b"OPTION"),
        ];
    (rest.is_empty() || may_pass_on).then_some((of, to))
}

/// Default privileges, without saying whose: those of whoever says it.
fn without_role(statement: &[u8]) -> Option<Vec<u8>> {
    let rest = statement.strip_prefix(b"ALTER DEFAULT PRIVILEGES FOR ROLE ")?;
    let end = match rest.first()? {
        b'"' => end_of_quoted(rest)?,
        _ => rest.iter().position(u8::is_ascii_whitespace)?,
    };
    Some([&b"ALTER DEFAULT PRIVILEGES"[..], &rest[end..]].concat())
}

/// Where a name ends that begins with a quote; doubled quotes are part of it.
fn end_of_quoted(text: &[u8]) -> Option<usize> {
    let mut end = 1;
    loop {
        end += text[end..].iter().position(|&byte| byte == b'"')? + 1;
        if text.get(end) != Some(&b'"') {
            return Some(end);
        }
        end += 1;
    }
}

/// A statement about the first large object of a group, for each of the group, whose numbers are in lines: since 17 `pg_dump`
/// writes it once, and `pg_restore` would repeat it. Nothing if it is not of that form.
pub(super) fn for_each(statement: &[u8], numbers: &[u8]) -> Option<Vec<String>> {
    let (before, after) = around_number(statement)?;
    let (before, after) = (
        std::str::from_utf8(before).ok()?,
        std::str::from_utf8(after).ok()?,
    );
    let numbers = std::str::from_utf8(numbers).ok()?;
    let is_number = |number: &str| {
        let is_digits = number.bytes().all(|byte| byte.is_ascii_digit());
        (is_digits && !number.is_empty()).then(|| format!("{before}{number}{after}"))
    };
    numbers.lines().map(is_number).collect()
}

/// What is before and after the number of a large object, outside quotes.
fn around_number(statement: &[u8]) -> Option<(&[u8], &[u8])> {
    const WORDS: &[u8] = b"LARGE OBJECT ";
    let mut is_quoted = false;
    for (at, &byte) in statement.iter().enumerate() {
        is_quoted ^= byte == b'"';
        if !is_quoted && let Some(rest) = statement[at..].strip_prefix(WORDS) {
            let is_digit = |byte: &u8| byte.is_ascii_digit();
            let digits = rest.iter().take_while(|byte| is_digit(byte)).count();
            let number = at + WORDS.len();
            return (digits > 0).then(|| (&statement[..number], &statement[number + digits..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLES: Roles<'_> = Roles {
        owner: "orders",
        former: Some("former"),
        others: &[],
    };

    fn verdicts(definition: &str, roles: Roles<'_>) -> Vec<Verdict> {
        statements(definition.as_bytes())
            .map(|statement| judge(statement, roles))
            .collect()
    }

    #[test]
    fn each_statement_goes_by_its_role() {
        let definition = "REVOKE ALL ON FUNCTION public.\"f;\"() FROM PUBLIC;\n\
            REVOKE ALL ON FUNCTION public.\"f;\"() FROM former;\nGRANT ALL ON FUNCTION public.\"f;\"() TO former;\n\
            GRANT ALL ON FUNCTION public.\"f;\"() TO \"re\"\"ader\" WITH GRANT OPTION;\n";
        let other = Verdict::OfOther("re\"ader".to_owned());
        assert_eq!(
            verdicts(definition, ROLES),
            [
                Verdict::Runs,
                Verdict::OfFormerOwner,
                Verdict::OfFormerOwner,
                other
            ]
        );
        let others = ["re\"ader".to_owned()];
        let roles = Roles {
            others: &others,
            ..ROLES
        };
        assert_eq!(verdicts(definition, roles)[3], Verdict::Runs);
        let own = "GRANT SELECT(a) ON TABLE public.t TO orders;";
        assert_eq!(verdicts(own, ROLES), [Verdict::Runs]);
    }

    #[test]
    fn default_privileges_are_their_owners() {
        let of = |role: &str, to: &str| {
            format!(
                "ALTER DEFAULT PRIVILEGES FOR ROLE {role} IN SCHEMA public GRANT SELECT ON TABLES TO {to};\n"
            )
        };
        assert_eq!(verdicts(&of("orders", "PUBLIC"), ROLES), [Verdict::Runs]);
        // They become the owner's own.
        let own = "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO PUBLIC";
        assert_eq!(
            verdicts(&of("former", "PUBLIC"), ROLES),
            [Verdict::RunsAs(own.into())]
        );
        let quoted = Roles {
            former: Some("FOR \"ROLE\""),
            ..ROLES
        };
        assert_eq!(
            verdicts(&of("\"FOR \"\"ROLE\"\"\"", "PUBLIC"), quoted),
            [Verdict::RunsAs(own.into())]
        );
        assert_eq!(
            verdicts(&of("former", "former"), ROLES),
            [Verdict::OfFormerOwner]
        );
        assert_eq!(
            verdicts(&of("former", "reader"), ROLES),
            [Verdict::OfOther("reader".to_owned())]
        );
        assert_eq!(
            verdicts(&of("admin", "PUBLIC"), ROLES),
            [Verdict::OfOther("admin".to_owned())]
        );
        assert_eq!(
            verdicts(&of("orders", "reader"), ROLES),
            [Verdict::OfOther("reader".to_owned())]
        );
    }

    #[test]
    fn each_large_object_of_a_group_gets_its_privileges() {
        let statement = b"GRANT SELECT ON LARGE OBJECT 16385 TO \"LARGE OBJECT 1\"";
        let each = for_each(statement, b"16385\n3000000000\n").unwrap();
        assert_eq!(
            each,
            [
                "GRANT SELECT ON LARGE OBJECT 16385 TO \"LARGE OBJECT 1\"",
                "GRANT SELECT ON LARGE OBJECT 3000000000 TO \"LARGE OBJECT 1\"",
            ]
        );
        for odd in [
            "GRANT SELECT ON TABLE t TO \"LARGE OBJECT 1\"",
            "GRANT SELECT ON LARGE OBJECT x TO reader",
        ] {
            assert_eq!(for_each(odd.as_bytes(), b"1\n"), None, "{odd}");
        }
        assert_eq!(for_each(statement, b"1\n2 TO boss; --\n"), None);
    }

    #[test]
    fn what_is_neither_grant_nor_revoke_is_not_run() {
        for odd in [
            "SET SESSION AUTHORIZATION boss",
            "DROP TABLE public.orders",
            "GRANT SELECT ON TABLE t TO orders GRANTED BY boss",
            "GRANT SELECT ON TABLE t",
            "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO orders",
        ] {
            assert_eq!(verdicts(odd, ROLES), [Verdict::Odd], "{odd}");
        }
        assert_eq!(verdicts(" ;\n; ", ROLES), []);
    }
}

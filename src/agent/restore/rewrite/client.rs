//! Where the command-line client that loads a dump ends a statement, if it does so elsewhere than the server.
//!
//! `mysql` and `mariadb` read a dump line by line, and remember less than the server about comments inside comments (`add_line` in both
//! sources, tried with 9.7, 10.11 and 11.8):
//!
//! - what opens a comment inside one opens it anew, so that `/*/` does not end it;
//! - `/*!` inside a comment, or a comment inside an executable one, each on the same line, makes the next `*/` count for the mark alone, and
//!   the comment goes on to the one after that.
//!
//! A tenant could hide the end of a statement in that, or make one that the server takes for part of a literal. So the client is followed
//! through each statement.

use super::scan::Rules;
use super::token::{dollar_tag, is_word, opens_line_comment};

/// A client that loads dumps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client {
    Mysql,
    Mariadb,
}

/// What bytes are part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Within {
    Code,
    Quotes(u8),
    Comment,
}

/// What it remembers of this line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    None,
    /// `/*!`, and its end has not come.
    Executable,
    /// `/*+` of MySQL, and its end has not come.
    Hint,
}

/// Whether the clients that load this statement end it where the text ends, and nowhere before. Only MySQL's knows dollar quotes.
pub(super) fn ends_it_too(text: &[u8], delimiter: &[u8], has_dollars: bool, rules: Rules) -> bool {
    let end = |client| ends_with(client, text, delimiter, rules);
    end(Client::Mysql) && (has_dollars || end(Client::Mariadb))
}

fn ends_with(client: Client, text: &[u8], delimiter: &[u8], rules: Rules) -> bool {
    let (mut within, mut mark, mut at) = (Within::Code, Mark::None, 0);
    while let Some((&byte, _)) = text[at..].split_first() {
        let rest = &text[at..];
        let in_string = matches!(within, Within::Quotes(_));
        let opens = !in_string && rest.starts_with(b"/*");
        let opened = opens.then(|| opening(client, rest));
        at += match within {
            _ if byte == b'\n' => {
                mark = Mark::None;
                1
            }
            Within::Quotes(quote) if byte == b'\\' && is_escape(quote, rules) => 2,
            Within::Quotes(quote) => {
                if byte == quote {
                    within = Within::Code;
                }
                1
            }
            // A command of its own, or the end.
            Within::Code if byte == b'\\' => return false,
            Within::Code if mark != Mark::Hint && rest.starts_with(delimiter) => return false,
            Within::Code if opens_line_comment(rest) => {
                match rest.iter().position(|&byte| byte == b'\n') {
                    Some(line) => line,
                    // It would not see the delimiter that follows.
                    None => return false,
                }
            }
            Within::Code | Within::Comment if opened == Some(Opening::Comment) => {
                within = Within::Comment;
                2
            }
            Within::Comment if mark == Mark::None && rest.starts_with(b"*/") => {
                within = Within::Code;
                2
            }
            Within::Code | Within::Comment => {
                match opened {
                    Some(Opening::Mark(marks)) => mark = marks,
                    None if rest.starts_with(b"*/") => mark = Mark::None,
                    None if within == Within::Code && mark != Mark::Hint => {
                        if matches!(byte, b'\'' | b'"' | b'`') {
                            within = Within::Quotes(byte);
                        } else if let Some(length) = dollars(client, text, at) {
                            at += length;
                            continue;
                        }
                    }
                    Some(Opening::Code | Opening::Comment) | None => {}
                }
                1
            }
        };
    }
    within == Within::Code && mark != Mark::Hint
}

/// What `/*` is to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opening {
    Comment,
    Mark(Mark),
    /// No more than any other code.
    Code,
}

fn opening(client: Client, rest: &[u8]) -> Opening {
    match (client, &rest[2..]) {
        (_, [b'!', ..]) => Opening::Mark(Mark::Executable),
        (Client::Mysql, [b'+', ..]) => Opening::Mark(Mark::Hint),
        (Client::Mariadb, [b'M', b'!', ..]) => Opening::Code,
        (Client::Mysql | Client::Mariadb, _) => Opening::Comment,
    }
}

/// Clients do not know that `"` may enclose a name.
fn is_escape(quote: u8, rules: Rules) -> bool {
    rules.backslash_escapes && quote != b'`'
}

/// The length of a text between dollar quotes, if one begins here.
fn dollars(client: Client, text: &[u8], at: usize) -> Option<usize> {
    let inside_word = at
        .checked_sub(1)
        .is_some_and(|before| is_word(text[before]));
    if client != Client::Mysql || inside_word {
        return None;
    }
    let rest = &text[at..];
    let (mark, inner) = rest.split_at(dollar_tag(rest)?);
    let end = inner.windows(mark.len()).position(|end| end == mark);
    Some(end.map_or(rest.len(), |end| mark.len() + end + mark.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(text: &str) -> bool {
        ends_it_too(text.as_bytes(), b";;", false, Rules::default())
    }

    #[test]
    fn a_statement_ends_for_the_client_where_it_does_for_the_server() {
        for text in [
            "SELECT 1 /* it's ; */ -- don't;\n+ 1",
            "/*!50003 CREATE*/ /*!50003 TRIGGER BEGIN -- a */ b\n SET @x = '*/'; /* c */ END */",
            "/*!50003 x /* c */ -- */ its\n y */",
            "SELECT 1 /* a /* b */",
            "SELECT /*+ NO_ICP(t) */ 1 /*M!100616 + 1 */",
            "SELECT 'a\\';; b', \"it's\", `\\`; SELECT 2",
        ] {
            assert!(ends(text), "{text}");
        }
    }

    #[test]
    fn what_hides_an_end_or_makes_one_is_seen() {
        for text in [
            // The server sees a literal.
            "SELECT 1 /* /*/ , '*/ ;; DROP DATABASE prod;; -- '",
            "SELECT 1 /* a /*! b */ , '*/ ;; DROP DATABASE prod;; -- '",
            // The comment goes on behind the end.
            "SELECT 1 /* a /*/",
            "SELECT 1 /* a /*! b */",
            "SELECT 1 /* a /*+ b */",
            "/*!50003 x /* c */ -- */ it's\n y */",
            "/*!50003 + 1 */* 2",
            "SELECT 1 -- a",
            "SELECT 1 \\",
            "SELECT 1 ;; SELECT 2",
            "SELECT 'a",
        ] {
            assert!(!ends(text), "{text}");
        }
    }

    #[test]
    fn dollar_quotes_are_of_mysqls_client() {
        let text = b"CREATE FUNCTION f AS $$ it's ;; /* ` \\ $$";
        assert!(ends_it_too(text, b";;", true, Rules::default()));
        assert!(!ends_it_too(text, b";;", false, Rules::default()));
        assert!(ends("SELECT a$$b, $c"));
    }
}

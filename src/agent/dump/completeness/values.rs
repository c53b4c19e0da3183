//! Counts the rows of an `INSERT` as dump tools write them: `(1,'a'),(2,0x00FF),(3,NULL);`, from the first parenthesis on.
//!
//! A row is never held. Anything else that could stand there, such as an expression in parentheses, is an error: no number is
//! better than a wrong one.

use memchr::{memchr, memchr2, memchr3};

use crate::agent::restore::rewrite::Rules;

/// Counts rows that come in pieces of any size.
#[derive(Debug, Default)]
pub(super) struct Values {
    within: Within,
    rows: u64,
    bytes: u64,
}

/// What bytes are part of.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Within {
    /// Before a row, or at the end.
    #[default]
    Between,
    Row,
    Quotes(u8),
    /// After a backslash between these quotes.
    Escape(u8),
}

impl Values {
    /// Takes the next bytes. If the statement ends in them, says after how many.
    pub(super) fn read(&mut self, bytes: &[u8], rules: Rules) -> Result<Option<usize>, String> {
        let mut at = 0;
        // Where in these bytes the row begins that is being read, or 0 if it began before.
        let mut begun = 0;
        loop {
            let rest = &bytes[at..];
            let found = match self.within {
                Within::Between | Within::Escape(_) => (!rest.is_empty()).then_some(0),
                // Doubled quotes are left and entered again.
                Within::Row => memchr3(b'\'', b'"', b')', rest),
                Within::Quotes(quote) if rules.escapes_in(quote) => memchr2(quote, b'\\', rest),
                Within::Quotes(quote) => memchr(quote, rest),
            };
            let Some(found) = found else {
                if self.within != Within::Between {
                    self.bytes += (bytes.len() - begun) as u64;
                }
                return Ok(None);
            };
            let byte = rest[found];
            at += found + 1;
            self.within = match (self.within, byte) {
                (Within::Between, b'(') => {
                    begun = at - 1;
                    Within::Row
                }
                (Within::Between, b',' | b' ' | b'\t' | b'\r' | b'\n') => Within::Between,
                (Within::Between, b';') => return Ok(Some(at)),
                (Within::Between, _) => {
                    return Err("rows are not as the dump tool writes them".to_owned());
                }
                (Within::Row, b')') => {
                    self.rows += 1;
                    self.bytes += (at - begun) as u64;
                    Within::Between
                }
                (Within::Row, quote) | (Within::Escape(quote), _) => Within::Quotes(quote),
                (Within::Quotes(quote), b'\\') => Within::Escape(quote),
                (Within::Quotes(_), _) => Within::Row,
            };
        }
    }

    /// How many rows have come, and how many bytes they have with their parentheses.
    pub(super) fn take(&mut self) -> (u64, u64) {
        (
            std::mem::take(&mut self.rows),
            std::mem::take(&mut self.bytes),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is counted in the values of one statement, cut at this length each time.
    fn counted(text: &str, rules: Rules, cut: usize) -> Result<(u64, u64), String> {
        let mut values = Values::default();
        let mut pieces = text.as_bytes().chunks(cut).enumerate();
        let end = pieces.find_map(|(number, piece)| match values.read(piece, rules) {
            Ok(end) => Some(Ok(number * cut + end?)),
            Err(why) => Some(Err(why)),
        });
        assert_eq!(end.transpose()?, Some(text.len()), "{text}");
        Ok(values.take())
    }

    #[test]
    fn rows_are_told_apart_whatever_is_in_them() {
        let ansi = Rules {
            ansi_quotes: true,
            ..Rules::default()
        };
        let plain = Rules {
            backslash_escapes: false,
            ..Rules::default()
        };
        for (text, rules, rows) in [
            ("(1,'a'),(2,NULL);", Rules::default(), 2),
            ("\n(1,'a'),\n(2,NULL)\n;", Rules::default(), 2),
            (r"('it''s','\'),(','\\'),('),(');", Rules::default(), 2),
            (
                r#"("a""b),('",'"'),(0xFF,-1.5e3,_binary 'x\0');"#,
                Rules::default(),
                2,
            ),
            (r#"('\"',"),(\""),("'");"#, Rules::default(), 2),
            (r"('\'),('b\');", plain, 2),
            (r#"("\",'\'),(');"#, ansi, 1),
            (";", Rules::default(), 0),
        ] {
            let bytes = text.len() as u64 - 1 - (rows - u64::from(rows > 0));
            let spaces = text.matches('\n').count() as u64;
            for cut in [1, 2, 3, 7, 100] {
                let counted = counted(text, rules, cut);
                assert_eq!(counted, Ok((rows, bytes - spaces)), "{text} {cut}");
            }
        }
    }

    #[test]
    fn what_is_no_list_of_rows_is_not_counted() {
        for text in [
            "(f(1));",
            "(1,(2),3);",
            "(1) ON DUPLICATE KEY UPDATE a = 1;",
            "(1) /* ( */;",
            "SELECT 1;",
        ] {
            assert!(counted(text, Rules::default(), 100).is_err(), "{text}");
        }
        let mut values = Values::default();
        assert_eq!(values.read(b"(1,');", Rules::default()), Ok(None));
    }
}

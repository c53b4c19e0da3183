//! Words, quoted names and signs of the statements that `pg_dump` writes, as far as one looks for roles in them.

/// A piece of a statement.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::agent) enum Token<'a> {
    /// A word without quotes: a key word, a name in lower case, a number.
    Word(&'a [u8]),
    /// A name in quotes, without them.
    Quoted(Vec<u8>),
    /// A character that is neither, or a text in quotes, which counts as its first one.
    Sign(u8),
}

impl Token<'_> {
    /// The name that it is.
    pub(in crate::agent) fn name(self) -> Option<Vec<u8>> {
        match self {
            Self::Word(word) => Some(word.to_owned()),
            Self::Quoted(name) => Some(name),
            Self::Sign(_) => None,
        }
    }
}

/// The pieces of a statement, without spaces.
pub(in crate::agent) fn tokens(statement: &[u8]) -> Tokens<'_> {
    Tokens(statement)
}

/// See [`tokens`].
pub(in crate::agent) struct Tokens<'a>(&'a [u8]);

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        self.0 = self.0.trim_ascii_start();
        let first = *self.0.first()?;
        if first == b'"' || first == b'\'' {
            let text = self.quoted(first);
            return Some(match first {
                b'"' => Token::Quoted(text),
                _ => Token::Sign(first),
            });
        }
        let end = self.0.iter().position(|byte| !is_part_of_word(*byte));
        let length = end.unwrap_or(self.0.len());
        let (word, rest) = self.0.split_at(length.max(1));
        self.0 = rest;
        Some(match length {
            0 => Token::Sign(first),
            _ => Token::Word(word),
        })
    }
}

impl Tokens<'_> {
    /// What is between two quotes; doubled ones are one.
    fn quoted(&mut self, quote: u8) -> Vec<u8> {
        let mut text = Vec::new();
        let mut rest = &self.0[1..];
        while let Some(end) = rest.iter().position(|&byte| byte == quote) {
            text.extend_from_slice(&rest[..end]);
            rest = &rest[end + 1..];
            if rest.first() != Some(&quote) {
                self.0 = rest;
                return text;
            }
            text.push(quote);
            rest = &rest[1..];
        }
        text.extend_from_slice(rest);
        self.0 = &[];
        text
    }
}

fn is_part_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || !byte.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_hide_what_is_in_them() {
        let all: Vec<_> = tokens(b"TO \"a\"\"; b\", r\xc3\xa9; 'it''s TO' x").collect();
        let expected = [
            Token::Word(b"TO"),
            Token::Quoted(b"a\"; b".to_vec()),
            Token::Sign(b','),
            Token::Word("ré".as_bytes()),
            Token::Sign(b';'),
            Token::Sign(b'\''),
            Token::Word(b"x"),
        ];
        assert_eq!(all, expected);
        let open: Vec<_> = tokens(b"\"never").collect();
        assert_eq!(open, [Token::Quoted(b"never".to_vec())]);
    }
}

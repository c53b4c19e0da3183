//! The tokens of one statement, one at a time.
//!
//! What is inside an executable comment (`/*!50003 … */`, MariaDB's `/*M!100616 … */`) is part of the statement, whatever its
//! version: its tokens come like any others. Other comments and white space are passed over.

use std::borrow::Cow;

use super::scan::Rules;

/// How much of a token is shown, in bytes.
const LONGEST_SHOWN: usize = 1024;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A keyword, a name without quotes, or a number.
    Word,
    /// A quoted name.
    Name,
    /// A literal in quotes.
    Text,
    /// A text between dollar quotes, such as `$$ … $$`: the body of what is not in SQL.
    Dollar,
    /// One other character.
    Symbol(u8),
}

/// A token and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    /// What it is.
    pub kind: Kind,
    /// Its first byte.
    pub start: usize,
    /// Its bytes, with their quotes.
    pub text: &'a [u8],
}

impl<'a> Token<'a> {
    /// The first byte after it.
    pub(crate) fn end(&self) -> usize {
        self.start + self.text.len()
    }

    /// Whether it is this keyword. A quoted name never is.
    pub(crate) fn is(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(word.as_bytes())
    }

    /// Whether it is this character.
    pub(crate) fn is_symbol(&self, symbol: u8) -> bool {
        self.kind == Kind::Symbol(symbol)
    }

    /// Whether it can be the name of an object. Digits alone cannot, without quotes.
    pub(crate) fn is_identifier(&self) -> bool {
        match self.kind {
            Kind::Name => true,
            Kind::Word => !self.text.iter().all(u8::is_ascii_digit),
            Kind::Text | Kind::Dollar | Kind::Symbol(_) => false,
        }
    }

    /// What a name or a literal says, without its quotes. Escapes of a literal other than of quotes stay as they are.
    pub(crate) fn value(&self) -> Cow<'a, [u8]> {
        match (self.kind, self.text) {
            (Kind::Name | Kind::Text, [quote, inner @ .., _]) => {
                let escapes = self.kind == Kind::Text;
                unquoted(inner, *quote, escapes)
            }
            _ => Cow::Borrowed(self.text),
        }
    }

    /// The same for a message and for comparisons with short words: its beginning. Servers' names have at most 64 characters.
    pub(crate) fn display(&self) -> String {
        let value = self.value();
        let shown = &value[..value.len().min(LONGEST_SHOWN)];
        String::from_utf8_lossy(shown).into_owned()
    }
}

/// Undoes doubled quotes, and, in literals, a backslash before a quote or a backslash.
fn unquoted(inner: &[u8], quote: u8, escapes: bool) -> Cow<'_, [u8]> {
    let special = |&byte: &u8| byte == quote || escapes && byte == b'\\';
    if !inner.iter().any(special) {
        return Cow::Borrowed(inner);
    }
    let mut plain = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        let next = bytes.peek().copied();
        let doubled = byte == quote && next == Some(quote);
        let escaped = escapes && byte == b'\\' && (next == Some(quote) || next == Some(b'\\'));
        if doubled || escaped {
            plain.extend(bytes.next());
        } else {
            plain.push(byte);
        }
    }
    Cow::Owned(plain)
}

/// Reads the tokens of a statement. A copy of it looks ahead.
#[derive(Clone, Debug)]
pub(crate) struct Tokens<'a> {
    text: &'a [u8],
    rules: Rules,
    at: usize,
    /// Executable comments that are open.
    open: u32,
}

/// What the clients take for commands of their own at the beginning of a statement.
const COMMANDS: [&str; 28] = [
    "charset",
    "clear",
    "connect",
    "costs",
    "delimiter",
    "edit",
    "ego",
    "exit",
    "go",
    "help",
    "nopager",
    "notee",
    "nowarning",
    "pager",
    "print",
    "prompt",
    "query_attributes",
    "quit",
    "rehash",
    "resetconnection",
    "sandbox",
    "source",
    "ssl_session_data_print",
    "status",
    "system",
    "tee",
    "use",
    "warnings",
];

/// Whether the client that loads this statement would run a command of its own. With `--comments` and `--commands`, MySQL's looks for one behind
/// the comments that a statement begins with; each ends for it at the first `*/`, be that in a literal or of a comment inside (tried with 9.7).
pub(super) fn runs_a_command(text: &[u8], rules: Rules) -> bool {
    let mut at = 0;
    while text[at..].starts_with(b"/*") {
        at += block(&text[at..]);
        let space = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0x0b;
        at += text[at..].iter().take_while(|byte| space(byte)).count();
    }
    let rest = &text[at..];
    let length = rest
        .iter()
        .position(|&byte| !(byte.is_ascii_alphanumeric() || byte == b'_'))
        .unwrap_or(rest.len());
    let word = &rest[..length];
    let is_word = |command: &&str| word.eq_ignore_ascii_case(command.as_bytes());
    let is_whole = rest.get(length).is_none_or(u8::is_ascii_whitespace);
    match rest.first() {
        Some(b'\\' | b'?') => true,
        // In quotes, any word: clients may get further commands.
        Some(byte) if is_whole && byte.is_ascii_alphabetic() => {
            COMMANDS.iter().any(is_word) || is_quoted(text, at, rules)
        }
        Some(_) | None => false,
    }
}

/// Whether part of a statement is in an executable comment that some servers pass over: one for versions after 5.6, which MariaDB does not
/// take for itself, or one for MariaDB alone.
pub(super) fn is_for_some_servers(text: &[u8]) -> bool {
    let from = |at: usize| {
        let rest = &text[at..];
        let mark = executable_mark(rest)?;
        let digits = &rest[mark..executable(rest)?];
        let version: u32 = std::str::from_utf8(digits).ok()?.parse().unwrap_or(0);
        Some(rest.starts_with(b"/*M") || digits.len() > 6 || version > 50_699)
    };
    (0..text.len()).any(|at| from(at) == Some(true))
}

/// Whether a byte of a statement is inside quotes.
fn is_quoted(text: &[u8], at: usize, rules: Rules) -> bool {
    Tokens::new(text, rules)
        .filter(|token| matches!(token.kind, Kind::Name | Kind::Text | Kind::Dollar))
        .any(|token| token.start < at && at < token.end())
}

impl<'a> Tokens<'a> {
    /// From the statement's first byte.
    pub(crate) fn new(text: &'a [u8], rules: Rules) -> Self {
        Self {
            text,
            rules,
            at: 0,
            open: 0,
        }
    }

    /// The token after this one, which is not taken.
    pub(crate) fn peek(&self) -> Option<Token<'a>> {
        let mut ahead = self.clone();
        ahead.next()
    }

    /// Takes the next token if it is this keyword.
    pub(crate) fn keyword(&mut self, word: &str) -> bool {
        self.take_if(|token| token.is(word)).is_some()
    }

    /// Takes the next token if it is this character.
    pub(crate) fn symbol(&mut self, symbol: u8) -> bool {
        self.take_if(|token| token.is_symbol(symbol)).is_some()
    }

    /// Takes these keywords, all or none.
    pub(crate) fn keywords(&mut self, words: &[&str]) -> bool {
        let mut ahead = self.clone();
        let all = words.iter().all(|word| ahead.keyword(word));
        if all {
            *self = ahead;
        }
        all
    }

    /// Takes the next token if it meets a condition.
    pub(crate) fn take_if(&mut self, condition: impl Fn(&Token<'a>) -> bool) -> Option<Token<'a>> {
        let mut ahead = self.clone();
        let token = ahead.next().filter(condition)?;
        *self = ahead;
        Some(token)
    }

    fn rest(&self) -> &'a [u8] {
        &self.text[self.at..]
    }

    /// Passes over white space, comments, and the marks of executable ones.
    fn skip_space(&mut self) {
        loop {
            let rest = self.rest();
            let length = match rest {
                [byte, ..] if byte.is_ascii_whitespace() || *byte == 0x0b => 1,
                [b'#' | b'-', ..] if opens_line_comment(rest) => line(rest),
                [b'/', b'*', ..] => {
                    if let Some(mark) = executable(rest) {
                        self.open += 1;
                        mark
                    } else {
                        block(rest)
                    }
                }
                [b'*', b'/', ..] if self.open > 0 => {
                    self.open -= 1;
                    2
                }
                _ => return,
            };
            self.at += length;
        }
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        self.skip_space();
        let rest = self.rest();
        let first = *rest.first()?;
        let (kind, length) = match first {
            b'`' => (Kind::Name, quoted(rest, self.rules)),
            b'"' if self.rules.ansi_quotes => (Kind::Name, quoted(rest, self.rules)),
            b'\'' | b'"' => (Kind::Text, quoted(rest, self.rules)),
            b'$' if dollar_tag(rest).is_some() => (Kind::Dollar, dollar_quoted(rest)),
            _ if is_word(first) => (
                Kind::Word,
                rest.iter()
                    .position(|&byte| !is_word(byte))
                    .unwrap_or(rest.len()),
            ),
            _ => (Kind::Symbol(first), 1),
        };
        let token = Token {
            kind,
            start: self.at,
            text: &rest[..length],
        };
        self.at += length;
        Some(token)
    }
}

/// Whether a byte can be part of a word. Every byte of a character beyond ASCII can.
pub(super) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | 0x80..)
}

/// The length of the mark that opens a text between dollar quotes, if that is what comes: `$$`, `$tag$`. It does not, after a byte of a word.
pub(super) fn dollar_tag(rest: &[u8]) -> Option<usize> {
    let (b'$', tag) = rest.split_first()? else {
        return None;
    };
    let end = tag
        .iter()
        .position(|&byte| byte == b'$' || !is_word(byte))?;
    (tag[end] == b'$').then_some(end + 2)
}

/// The length of a text between dollar quotes, with these.
fn dollar_quoted(rest: &[u8]) -> usize {
    let tag = dollar_tag(rest).unwrap_or(rest.len());
    let (mark, text) = rest.split_at(tag);
    text.windows(tag.max(1))
        .position(|end| end == mark)
        .map_or(rest.len(), |end| tag + end + tag)
}

/// The length of the mark that opens an executable comment, with its version; `None` for any other comment.
///
/// The comment that switches MariaDB's client to its sandbox is for that client alone, and no server executes it.
fn executable(rest: &[u8]) -> Option<usize> {
    if is_sandbox_mark(rest) {
        return None;
    }
    let mark = executable_mark(rest)?;
    let digits = rest[mark..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    Some(mark + digits)
}

/// The length of `/*!` or `/*M!`, if that is what comes.
pub(super) fn executable_mark(rest: &[u8]) -> Option<usize> {
    [&b"/*!"[..], b"/*M!"]
        .into_iter()
        .find(|mark| rest.starts_with(mark))
        .map(<[u8]>::len)
}

/// Whether this is how the comment begins that switches MariaDB's client to its sandbox: the only place where a backslash
/// outside quotes is right.
pub(super) fn is_sandbox_mark(rest: &[u8]) -> bool {
    rest.starts_with(br"/*!999999\-") || rest.starts_with(br"/*M!999999\-")
}

/// Whether a comment to the end of the line comes: `#`, or `--` before white space.
pub(super) fn opens_line_comment(rest: &[u8]) -> bool {
    match rest {
        [b'#', ..] | [b'-', b'-'] => true,
        [b'-', b'-', byte, ..] => byte.is_ascii_whitespace() || byte.is_ascii_control(),
        _ => false,
    }
}

/// The length of a comment to the end of its line.
fn line(rest: &[u8]) -> usize {
    rest.iter()
        .position(|&byte| byte == b'\n')
        .map_or(rest.len(), |end| end + 1)
}

/// The length of a comment to its `*/`.
fn block(rest: &[u8]) -> usize {
    rest[2..]
        .windows(2)
        .position(|pair| pair == b"*/")
        .map_or(rest.len(), |end| end + 4)
}

/// The length of what is in quotes, with these.
fn quoted(rest: &[u8], rules: Rules) -> usize {
    let quote = rest[0];
    let escapes = rules.escapes_in(quote);
    let mut at = 1;
    while at < rest.len() {
        if escapes && rest[at] == b'\\' {
            at += 2;
        } else if rest[at] != quote {
            at += 1;
        } else if rest.get(at + 1) == Some(&quote) {
            at += 2;
        } else {
            return at + 1;
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str, rules: Rules) -> Vec<String> {
        Tokens::new(text.as_bytes(), rules)
            .map(|token| {
                let text = String::from_utf8_lossy(token.text);
                match token.kind {
                    Kind::Word => format!("w:{text}"),
                    Kind::Name => format!("n:{}", token.display()),
                    Kind::Text => format!("t:{}", token.display()),
                    Kind::Dollar => format!("d:{text}"),
                    Kind::Symbol(_) => text.into_owned(),
                }
            })
            .collect()
    }

    #[test]
    fn executable_comments_are_part_of_the_statement_and_others_are_not() {
        let rules = Rules::default();
        assert_eq!(
            tokens(
                "/*!50003 CREATE*/ /* a ' */ /*M!100616 x */ -- b '\n# c `\ny",
                rules
            ),
            ["w:CREATE", "w:x", "w:y"]
        );
        assert_eq!(
            tokens("/*!50003 a /* ' */ b */ c*/", rules),
            ["w:a", "w:b", "w:c", "*", "/"]
        );
        assert_eq!(
            tokens("/*M!999999\\- enable the sandbox mode */ a", rules),
            ["w:a"]
        );
        assert_eq!(tokens("1--1 --", rules), ["w:1", "-", "-", "w:1"]);
    }

    #[test]
    fn quotes_are_doubled_or_escaped_as_the_mode_says() {
        let rules = Rules::default();
        assert_eq!(
            tokens(r#"`a``\` 'it''s \'\\' "x""y\"z""#, rules),
            [r"n:a`\", r"t:it's '\", "t:x\"y\"z"]
        );
        let ansi = Rules {
            ansi_quotes: true,
            ..rules
        };
        assert_eq!(tokens(r#""a""b" 'c"'"#, ansi), ["n:a\"b", "t:c\""], "names");
        let plain = Rules {
            backslash_escapes: false,
            ..rules
        };
        assert_eq!(tokens(r"'\' 'b'", plain).len(), 2);
        assert_eq!(tokens("'never ends", rules).len(), 1);
    }

    #[test]
    fn what_is_between_dollar_quotes_is_one_token() {
        let rules = Rules::default();
        assert_eq!(
            tokens("a$$b $$ it's $ ; $$ $t$ $$ ' $t$x", rules),
            ["w:a$$b", "d:$$ it's $ ; $$", "d:$t$ $$ ' $t$", "w:x"]
        );
        assert_eq!(tokens("$a $b-$ '$$' `$$` /* $$ */", rules).len(), 6);
        assert_eq!(tokens("$$ never ends", rules), ["d:$$ never ends"]);
        assert_eq!(dollar_tag(b"$JAVASCRIPT$x"), Some(12));
        assert_eq!(dollar_tag(b"$a b$"), None);
        assert_eq!(dollar_tag(b"$a"), None);
    }
}

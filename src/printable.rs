//! What others chose, such as the names of a tenant's objects, as it is shown to people: on one line, with nothing in it that moves the
//! cursor, hides text or turns its direction.

use std::borrow::Cow;

/// Whether a text reads as it stands. A statement with a name that does not is not to be run either.
#[must_use]
pub fn is_printable(text: &str) -> bool {
    !text.contains(is_harmful)
}

/// A text on one line, each harmful character replaced.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    if is_printable(text) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.replace(is_harmful, "\u{fffd}"))
    }
}

/// The same in at most so many characters. What was cut ends with `…`.
#[must_use]
pub fn shortened(text: &str, most: usize) -> String {
    let Some((end, _)) = text.char_indices().nth(most) else {
        return printable(text).into_owned();
    };
    let kept = text[..end]
        .char_indices()
        .next_back()
        .map_or(0, |(last, _)| last);
    format!("{}…", printable(&text[..kept]))
}

/// A number of things, such as `1 table` or `2 tables`. `one` is one of them, and takes an s.
#[must_use]
pub fn several(number: u64, one: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{number} {one}{s}")
}

/// Control characters, separators of lines, and marks that reorder or hide text (Unicode's `Bidi_Control`, zero width).
fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_chose_stays_on_its_line_and_reads_as_it_stands() {
        assert_eq!(
            printable("a\nb\u{202e}c\u{1b}[31m\u{85}d\u{2028}e\u{200b}f\u{feff}"),
            "a\u{fffd}b\u{fffd}c\u{fffd}[31m\u{fffd}d\u{fffd}e\u{fffd}f\u{fffd}"
        );
        for harmless in ["orders", "größe ☃ 訂單", "الطلبات", ""] {
            assert!(matches!(printable(harmless), Cow::Borrowed(text) if text == harmless));
            assert!(is_printable(harmless));
        }
    }

    #[test]
    fn what_is_cut_says_so() {
        assert_eq!(shortened("ä☃", 2), "ä☃");
        assert_eq!(shortened("ä☃b", 2), "ä…");
        assert_eq!(shortened("a\nbc", 3), "a\u{fffd}…");
        assert_eq!(shortened("", 2), "");
        assert_eq!(shortened("ab", 1), "…");
        assert_eq!(shortened(&"ä".repeat(500), 80).chars().count(), 80);
    }
}

//! What to put in the place of what, in one statement.

/// Replaces bytes of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Edit {
    /// The first byte that goes.
    pub start: usize,
    /// The first byte after it that stays.
    pub end: usize,
    /// What comes in their place.
    pub with: String,
}

/// The pieces of `text` with the edits made: what stays is borrowed. The edits are in order and do not overlap.
pub(super) fn pieces<'a>(text: &'a [u8], edits: &'a [Edit]) -> impl Iterator<Item = &'a [u8]> {
    let starts = std::iter::once(0).chain(edits.iter().map(|edit| edit.end));
    let ends = edits.iter().map(|edit| edit.start);
    let stays = starts
        .zip(ends.chain([text.len()]))
        .map(|(start, end)| &text[start..end]);
    let comes = edits
        .iter()
        .map(|edit| edit.with.as_bytes())
        .chain([&[][..]]);
    stays.zip(comes).flat_map(|(stays, comes)| [stays, comes])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edited(text: &str, edits: &[(usize, usize, &str)]) -> String {
        let edits: Vec<Edit> = edits
            .iter()
            .map(|&(start, end, with)| Edit {
                start,
                end,
                with: with.to_owned(),
            })
            .collect();
        let bytes = pieces(text.as_bytes(), &edits).collect::<Vec<_>>().concat();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn bytes_are_replaced_and_the_others_stay() {
        assert_eq!(edited("USE old;", &[]), "USE old;");
        assert_eq!(edited("USE old;", &[(4, 7, "`new`")]), "USE `new`;");
        assert_eq!(edited("abc", &[(0, 1, ""), (2, 3, "xy")]), "bxy");
        assert_eq!(edited("", &[]), "");
    }
}

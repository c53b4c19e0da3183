//! One of several equal parts, so that a long campaign can be run in pieces.

use std::str::FromStr;

/// Part `part` (from 1) of `of`, written `1/4`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    part: usize,
    of: usize,
}

impl FromStr for Slice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = || format!("\"{text}\" is no slice: write something like 1/4");
        let (part, of) = text.split_once('/').ok_or_else(wanted)?;
        let (part, of) = (
            part.parse().map_err(|_| wanted())?,
            of.parse().map_err(|_| wanted())?,
        );
        if part == 0 || part > of {
            return Err(wanted());
        }
        Ok(Self { part, of })
    }
}

impl Slice {
    /// The plans that are in this part.
    #[must_use]
    pub fn take<T>(self, plans: Vec<T>) -> Vec<T> {
        let turns = plans.into_iter().skip(self.part - 1);
        turns.step_by(self.of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_is_a_part_of_several() {
        assert_eq!("2/3".parse(), Ok(Slice { part: 2, of: 3 }));
        let all = vec![1, 2, 3, 4, 5];
        assert_eq!(Slice { part: 2, of: 3 }.take(all), [2, 5]);
        for text in ["", "0/3", "4/3", "1", "a/b"] {
            assert!(text.parse::<Slice>().is_err(), "{text}");
        }
    }
}

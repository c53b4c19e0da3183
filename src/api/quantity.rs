//! Amounts of bytes as Kubernetes writes them: `500Gi`, `1.5T`.

use kube::core::Rule;

/// The units, with what each is worth.
const UNITS: [(&str, u128); 11] = [
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
    ("Pi", 1 << 50),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
    ("P", 1_000_000_000_000_000),
    ("", 1),
];

/// CEL: an amount that [`bytes`] reads, and more than nothing.
pub(super) fn rule(message: &str) -> Rule {
    let rule =
        "self.matches('^[0-9]{1,15}([.][0-9]{1,3})?([KMGTP]i|[kMGTP])?$') && self.matches('[1-9]')";
    Rule::new(rule).message(message)
}

/// The bytes of an amount, rounded down, at most [`u64::MAX`]; `None` for anything else.
#[must_use]
pub fn bytes(amount: &str) -> Option<u64> {
    let end = amount.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = &amount[end.len()..];
    let (_, worth) = UNITS.iter().find(|(known, _)| *known == unit)?;
    let (whole, part) = end.split_once('.').unwrap_or((end, ""));
    let is_number = |text: &str| text.len() <= 15 && text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !is_number(whole) || !is_number(part) || end.ends_with('.') {
        return None;
    }
    let digits: u128 = format!("{whole}{part}").parse().ok()?;
    let scale = 10_u128.pow(u32::try_from(part.len()).ok()?);
    let bytes = digits.checked_mul(*worth)? / scale;
    Some(u64::try_from(bytes).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_counted_in_bytes() {
        for (amount, expected) in [
            ("500Gi", Some(500 << 30)),
            ("1.5Ti", Some((1 << 40) + (1 << 39))),
            ("1.5k", Some(1_500)),
            ("0.001k", Some(1)),
            ("2T", Some(2_000_000_000_000)),
            ("512", Some(512)),
            ("1Pi", Some(1 << 50)),
            ("999999999999999.999Pi", Some(u64::MAX)),
            ("", None),
            ("Gi", None),
            (".5Gi", None),
            ("5.Gi", None),
            ("1.2.3Gi", None),
            ("5 Gi", None),
            ("-5Gi", None),
            ("5gi", None),
            ("5e3", None),
            ("5é", None),
        ] {
            assert_eq!(bytes(amount), expected, "{amount}");
        }
    }
}

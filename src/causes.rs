//! An error with its causes.

use std::error::Error;

/// An error, and below it what caused it, down to the root.
pub fn causes<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| cause(error))
}

/// An error with its causes in one line: `client error (Connect): tcp connect error: Connection refused`. A cause that the
/// text names already is not repeated.
#[must_use]
pub fn in_words(error: &(dyn Error + 'static)) -> String {
    causes(error)
        .skip(1)
        .map(ToString::to_string)
        .fold(error.to_string(), |text, cause| {
            if text.contains(&cause) {
                text
            } else {
                format!("{text}: {cause}")
            }
        })
}

/// The cause of an error. An I/O error that wraps another error does not name that one as its source, but skips it.
fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    let wrapped = error
        .downcast_ref::<std::io::Error>()
        .and_then(std::io::Error::get_ref);
    match wrapped {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Told {
        text: &'static str,
        source: io::Error,
    }

    #[test]
    fn an_error_is_told_with_its_causes_and_nothing_twice() {
        let told = |text| Told {
            text,
            source: io::Error::other(io::Error::other("refused")),
        };
        assert_eq!(in_words(&told("cannot connect")), "cannot connect: refused");
        assert_eq!(in_words(&told("it was refused")), "it was refused");
        assert_eq!(causes(&told("x")).count(), 4);
    }
}

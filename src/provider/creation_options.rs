//! Options of PostgreSQL's CREATE DATABASE that a database keeps for good, and how those of one that exists differ from
//! what is asked for. Pure.
//!
//! The same encoding and the same locale have several spellings. Two spellings of one thing are no difference.

use super::PostgresqlSettings;

/// Where the default collation of a PostgreSQL database comes from (`pg_database.datlocprovider`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocaleProvider {
    /// The server's operating system.
    Libc,
    /// The ICU library.
    Icu,
    /// PostgreSQL itself.
    Builtin,
}

impl LocaleProvider {
    /// The word in CREATE DATABASE.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Libc => "libc",
            Self::Icu => "icu",
            Self::Builtin => "builtin",
        }
    }
}

/// The options of a database that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreationOptions {
    /// Character encoding, as the server spells it: `UTF8`.
    pub encoding: String,
    /// The locale provider, as [`LocaleProvider::as_str`] spells those that are known.
    pub locale_provider: String,
    /// `LC_COLLATE`.
    pub collate: String,
    /// `LC_CTYPE`.
    pub ctype: String,
    /// The locale of the provider, unless that is libc.
    pub provider_locale: Option<String>,
}

impl CreationOptions {
    /// How these differ from what is asked for, one sentence for each field; empty where all that is asked for is so.
    #[must_use]
    pub fn differences(&self, wanted: &PostgresqlSettings) -> Vec<String> {
        let mut differences = Vec::new();
        if let Some(encoding) = &wanted.encoding
            && canonical_encoding(encoding) != canonical_encoding(&self.encoding)
        {
            differences.push(format!("its encoding is {}, not {encoding}", self.encoding));
        }
        if let Some(locale) = &wanted.locale
            && (is_other_locale(locale, &self.collate) || is_other_locale(locale, &self.ctype))
        {
            differences.push(format!(
                "its locale is {}, not {locale}",
                self.libc_locale()
            ));
        }
        if let Some(provider) = wanted.effective_provider()
            && provider.as_str() != self.locale_provider
        {
            let own = self.provider_locale.as_ref();
            differences.push(format!(
                "its locale provider is {}{}, not {}",
                self.locale_provider,
                own.map(|locale| format!(" ({locale})")).unwrap_or_default(),
                provider.as_str()
            ));
            return differences;
        }
        let own = self.provider_locale.as_deref().unwrap_or_default();
        if let Some(locale) = &wanted.icu_locale
            && canonical_tag(locale) != canonical_tag(own)
        {
            differences.push(format!("its ICU locale is {own}, not {locale}"));
        }
        if let Some(locale) = &wanted.builtin_locale
            && is_other_locale(locale, own)
        {
            differences.push(format!("its builtin locale is {own}, not {locale}"));
        }
        differences
    }

    fn libc_locale(&self) -> String {
        if self.collate == self.ctype {
            self.collate.clone()
        } else {
            format!("{} (LC_CTYPE {})", self.collate, self.ctype)
        }
    }
}

impl PostgresqlSettings {
    /// The locale provider that is asked for. A locale of the operating system is one of libc.
    #[must_use]
    pub fn effective_provider(&self) -> Option<LocaleProvider> {
        self.locale_provider
            .or_else(|| self.locale.as_ref().map(|_| LocaleProvider::Libc))
    }

    /// Whether anything is asked for that a database keeps for good.
    #[must_use]
    pub fn has_options(&self) -> bool {
        self.encoding.is_some() || self.effective_provider().is_some()
    }
}

/// Other names of encodings, as PostgreSQL reads them: in lower case, without punctuation (`pg_encname_tbl` in
/// src/common/encnames.c).
const ENCODING_ALIASES: &[(&str, &str)] = &[
    ("abc", "win1258"),
    ("alt", "win866"),
    ("iso88591", "latin1"),
    ("iso885910", "latin6"),
    ("iso885913", "latin7"),
    ("iso885914", "latin8"),
    ("iso885915", "latin9"),
    ("iso885916", "latin10"),
    ("iso88592", "latin2"),
    ("iso88593", "latin3"),
    ("iso88594", "latin4"),
    ("iso88599", "latin5"),
    ("koi8", "koi8r"),
    ("tcvn", "win1258"),
    ("tcvn5712", "win1258"),
    ("unicode", "utf8"),
    ("vscii", "win1258"),
    ("win", "win1251"),
    ("windows1250", "win1250"),
    ("windows1251", "win1251"),
    ("windows1252", "win1252"),
    ("windows1253", "win1253"),
    ("windows1254", "win1254"),
    ("windows1255", "win1255"),
    ("windows1256", "win1256"),
    ("windows1257", "win1257"),
    ("windows1258", "win1258"),
    ("windows866", "win866"),
    ("windows874", "win874"),
];

/// One spelling for each encoding.
fn canonical_encoding(name: &str) -> String {
    let plain = plain(name);
    let alias = ENCODING_ALIASES.iter().find(|(alias, _)| *alias == plain);
    alias.map_or(plain, |(_, name)| (*name).to_owned())
}

/// Whether two locales of the operating system are different ones. Its encoding is spelt `UTF-8` or `utf8`, and `POSIX`
/// is `C`.
fn is_other_locale(one: &str, other: &str) -> bool {
    let canonical = |locale: &str| match locale.split_once('.') {
        None if locale == "POSIX" => ("C".to_owned(), String::new()),
        None => (locale.to_owned(), String::new()),
        Some((language, rest)) => (language.to_owned(), plain(rest)),
    };
    canonical(one) != canonical(other)
}

/// One spelling for each language tag. ICU writes the keys of an extension in alphabetical order, and leaves out `true`.
fn canonical_tag(tag: &str) -> Vec<String> {
    let tag = tag.to_ascii_lowercase();
    let parts = tag.split(['-', '_']).filter(|part| *part != "true");
    let mut parts: Vec<String> = parts.map(str::to_owned).collect();
    if let Some((_language, rest)) = parts.split_first_mut() {
        rest.sort_unstable();
    }
    parts
}

/// In lower case, without punctuation.
fn plain(name: &str) -> String {
    let kept = name.chars().filter(char::is_ascii_alphanumeric);
    kept.map(|c| c.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn existing() -> CreationOptions {
        CreationOptions {
            encoding: "UTF8".to_owned(),
            locale_provider: "libc".to_owned(),
            collate: "C.UTF-8".to_owned(),
            ctype: "C.UTF-8".to_owned(),
            provider_locale: None,
        }
    }

    fn icu(locale: &str) -> CreationOptions {
        CreationOptions {
            locale_provider: "icu".to_owned(),
            provider_locale: Some(locale.to_owned()),
            ..existing()
        }
    }

    fn wanted() -> PostgresqlSettings {
        PostgresqlSettings::default()
    }

    #[test]
    fn what_is_not_asked_for_does_not_differ() {
        for exists in [existing(), icu("de-DE")] {
            assert_eq!(exists.differences(&wanted()), Vec::<String>::new());
        }
        assert!(!wanted().has_options());
    }

    #[test]
    fn two_spellings_of_one_thing_are_no_difference() {
        for (encoding, locale) in [
            ("utf-8", "C.utf8"),
            ("Unicode", "C.UTF-8"),
            ("UTF8", "C.UTF8"),
        ] {
            let wanted = PostgresqlSettings {
                encoding: Some(encoding.to_owned()),
                locale: Some(locale.to_owned()),
                ..wanted()
            };
            assert_eq!(existing().differences(&wanted), Vec::<String>::new());
        }
        for (asked, stored) in [
            ("de-de", "de-DE"),
            ("en-US-u-kn-true", "en-US-u-kn"),
            ("und-u-ks-level2-kn", "und-u-kn-ks-level2"),
            ("de-DE", "de_DE"),
        ] {
            let wanted = PostgresqlSettings {
                locale_provider: Some(LocaleProvider::Icu),
                icu_locale: Some(asked.to_owned()),
                ..wanted()
            };
            assert_eq!(icu(stored).differences(&wanted), Vec::<String>::new());
        }
    }

    #[test]
    fn each_difference_is_a_sentence() {
        let all = PostgresqlSettings {
            encoding: Some("LATIN1".to_owned()),
            locale: Some("de_DE.ISO-8859-1".to_owned()),
            ..wanted()
        };
        assert_eq!(
            existing().differences(&all),
            [
                "its encoding is UTF8, not LATIN1",
                "its locale is C.UTF-8, not de_DE.ISO-8859-1"
            ]
        );
        // A locale alone is one of the operating system.
        let locale = PostgresqlSettings {
            locale: Some("C.UTF-8".to_owned()),
            ..wanted()
        };
        assert_eq!(
            icu("de-DE").differences(&locale),
            ["its locale provider is icu (de-DE), not libc"]
        );
        let other = PostgresqlSettings {
            locale_provider: Some(LocaleProvider::Icu),
            icu_locale: Some("sv-SE".to_owned()),
            ..wanted()
        };
        assert_eq!(
            icu("de-DE").differences(&other),
            ["its ICU locale is de-DE, not sv-SE"]
        );
        assert_eq!(
            existing().differences(&other),
            ["its locale provider is libc, not icu"]
        );
        let half = CreationOptions {
            ctype: "de_DE.UTF-8".to_owned(),
            ..existing()
        };
        assert_eq!(
            half.differences(&locale),
            ["its locale is C.UTF-8 (LC_CTYPE de_DE.UTF-8), not C.UTF-8"]
        );
    }
}

//! The command line of a chore: flags, options with a value, and plain words. Unknown ones are refused.

use anyhow::{Context as _, Result, bail};
use lexopt::{Arg, ValueExt as _};

/// What was given after the chore's name.
#[derive(Debug, Default)]
pub(crate) struct Options {
    flags: Vec<String>,
    values: Vec<(String, String)>,
    words: Vec<String>,
}

impl Options {
    /// Reads `arguments`; `flags` and `values` name what this chore knows, without their dashes.
    pub(crate) fn parse(arguments: Vec<String>, flags: &[&str], values: &[&str]) -> Result<Self> {
        let mut found = Self::default();
        let mut parser = lexopt::Parser::from_args(arguments);
        while let Some(argument) = parser.next()? {
            match argument {
                Arg::Long(name) if flags.contains(&name) => found.flags.push(name.to_owned()),
                Arg::Long(name) if values.contains(&name) => {
                    let name = name.to_owned();
                    let value = parser.value()?.string()?;
                    found.values.push((name, value));
                }
                Arg::Value(word) => found.words.push(word.string()?),
                Arg::Long(_) | Arg::Short(_) => {
                    let known: Vec<String> =
                        flags.iter().chain(values).map(|name| format!("--{name}")).collect();
                    bail!("{}. This chore knows: {}", argument.unexpected(), known.join(" "));
                }
            }
        }
        Ok(found)
    }

    /// Whether `--name` was given.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.flags.iter().any(|flag| flag == name)
    }

    /// The last value given for `--name`.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.values.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Every value given for `--name`.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.values.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
    }

    /// The value of `--name` as a whole number.
    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>> {
        self.value(name)
            .map(|value| {
                value.parse().with_context(|| format!("--{name} wants a whole number, not `{value}`"))
            })
            .transpose()
    }

    /// The words that were not options.
    pub(crate) fn words(&self) -> &[String] {
        &self.words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Options> {
        Options::parse(arguments.iter().map(|word| (*word).to_owned()).collect(), &["headless"], &["seconds"])
    }

    #[test]
    fn flags_values_and_words_are_told_apart() {
        let options = parse(&["call", "--headless", "--seconds", "20"]).expect("parses");
        assert!(options.flag("headless"));
        assert_eq!(options.number("seconds").expect("a number"), Some(20));
        assert_eq!(options.words(), ["call"]);
    }

    #[test]
    fn an_unknown_option_is_refused_and_the_known_ones_are_named() {
        let error = parse(&["--headles"]).expect_err("refused").to_string();
        assert!(error.contains("--headless"), "{error}");
    }

    #[test]
    fn a_word_where_a_number_belongs_is_refused() {
        assert!(parse(&["--seconds", "soon"]).expect("parses").number("seconds").is_err());
    }
}

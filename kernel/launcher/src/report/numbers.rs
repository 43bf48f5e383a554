//! Numbers as people read them: digits in groups of three.

use indicatif::HumanCount;
use pageblock_protocol::Value;

/// An integer.
pub(crate) fn count(value: i64) -> String {
    let sign = if value < 0 { "-" } else { "" };
    format!("{sign}{}", HumanCount(value.unsigned_abs()))
}

/// A decimal number, which is given as text.
pub(crate) fn decimal(text: &str) -> String {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    whole.parse().map_or_else(|_| text.to_owned(), |whole| format!("{}.{fraction}", count(whole)))
}

/// A number of thousandths, as a decimal number.
pub(crate) fn thousandths(value: i64) -> String {
    Value::Thousandths(value).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_have_groups_too() {
        for (text, shown) in [("6465863.250", "6,465,863.250"), ("0.754", "0.754"), ("-1.500", "-1.500")] {
            assert_eq!(decimal(text), shown);
        }
    }
}

//! Structured Fields (RFC 9651), as far as a cache's fields need them: Lists and Dictionaries of
//! plain Items.
//!
//! All lines of a field are one value, and a value that does not parse, be it in a parameter nobody
//! asks for, is ignored as a whole (§4.2). An empty line among others makes an empty member, which
//! does not parse.
//!
//! The grammar is the sfv crate's. Ours are the joining of lines, the limit, and the few types.

use http::{HeaderMap, HeaderName, HeaderValue};
use sfv::{
    BareItemFromInput, KeyRef, Parser,
    visitor::{
        DictionaryVisitor, EntryVisitor, Ignored, InnerListVisitor, ItemVisitor, ListVisitor,
    },
};
use std::{borrow::Cow, convert::Infallible};

/// The longest field that is read, in bytes, all of its lines joined; a longer one fails to parse
/// (RFC 9651 appendix B lets implementations limit what they read).
///
/// Every minimum of the RFC fits but that of Byte Sequences, of which 12 KiB do: no field that is
/// read here has any.
pub(crate) const LONGEST_FIELD: usize = 16 * 1024;

/// Why a field is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unread {
    /// It does not parse.
    Malformed,
    /// It is longer than [`LONGEST_FIELD`]; whether it parses is not known.
    TooLong,
}

/// The value of a member, of the types that have a meaning here. Parameters are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Boolean(bool),
    Integer(i64),
    String(Cow<'a, str>),
    /// Of another type.
    Other,
}

impl<'a> From<BareItemFromInput<'a>> for Value<'a> {
    fn from(item: BareItemFromInput<'a>) -> Self {
        match item {
            BareItemFromInput::Boolean(value) => Self::Boolean(value),
            BareItemFromInput::Integer(value) => Self::Integer(value.into()),
            BareItemFromInput::String(Cow::Borrowed(text)) => {
                Self::String(Cow::Borrowed(text.as_str()))
            }
            BareItemFromInput::String(Cow::Owned(text)) => Self::String(Cow::Owned(text.into())),
            _ => Self::Other,
        }
    }
}

/// Reads the field as a Dictionary (RFC 9651 §3.2); none at all where it is absent.
///
/// `each` is called with every member as it is read, before it is known whether those after it
/// parse. Of members with the same key the last holds (§4.2.2); `each` is called with all of them.
pub(crate) fn dictionary(
    headers: &HeaderMap,
    name: &HeaderName,
    each: impl FnMut(&str, Value<'_>),
) -> Result<(), Unread> {
    Parser::new(&joined(headers, name)?)
        .parse_dictionary_with_visitor(Members(each))
        .map_err(|_| Unread::Malformed)
}

/// Reads the field as a List (RFC 9651 §3.1); none at all where it is absent.
///
/// `each` is called with every member as it is read, before it is known whether those after it
/// parse.
pub(crate) fn list(
    headers: &HeaderMap,
    name: &HeaderName,
    each: impl FnMut(Value<'_>),
) -> Result<(), Unread> {
    Parser::new(&joined(headers, name)?)
        .parse_list_with_visitor(Members(each))
        .map_err(|_| Unread::Malformed)
}

/// All lines of the field as one (RFC 9110 §5.3).
fn joined<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Cow<'a, [u8]>, Unread> {
    let mut lines = headers.get_all(name).iter().map(HeaderValue::as_bytes);
    let mut joined = Cow::Borrowed(lines.next().unwrap_or_default());
    for line in lines {
        let joined = joined.to_mut();
        joined.extend_from_slice(b", ");
        joined.extend_from_slice(line);
        if joined.len() > LONGEST_FIELD {
            return Err(Unread::TooLong);
        }
    }
    if joined.len() > LONGEST_FIELD {
        return Err(Unread::TooLong);
    }
    Ok(joined)
}

/// Calls a function with each member.
struct Members<F>(F);

impl<'a, F: FnMut(&str, Value<'_>)> DictionaryVisitor<'a> for Members<F> {
    type Out = ();
    type Error = Infallible;

    fn entry(&mut self, key: &'a KeyRef) -> Result<impl EntryVisitor<'a>, Infallible> {
        Ok(Member(|value: Value<'_>| (self.0)(key.as_str(), value)))
    }

    fn finish(self) -> Result<(), Infallible> {
        Ok(())
    }
}

impl<'a, F: FnMut(Value<'_>)> ListVisitor<'a> for Members<F> {
    type Out = ();
    type Error = Infallible;

    fn entry(&mut self) -> Result<impl EntryVisitor<'a>, Infallible> {
        Ok(Member(&mut self.0))
    }

    fn finish(self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// Calls a function with the value of one member.
struct Member<F>(F);

impl<'a, F: FnOnce(Value<'_>)> EntryVisitor<'a> for Member<F> {
    type Error = Infallible;

    fn item(self) -> Result<impl ItemVisitor<'a>, Infallible> {
        Ok(|item: BareItemFromInput<'a>| {
            (self.0)(item.into());
            Ok::<_, Infallible>(Ignored)
        })
    }

    fn inner_list(self) -> Result<impl InnerListVisitor<'a>, Infallible> {
        (self.0)(Value::Other);
        Ok(Ignored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FIELD: HeaderName = HeaderName::from_static("example");

    fn fields<L: AsRef<[u8]>>(lines: &[L]) -> HeaderMap {
        lines
            .iter()
            .map(|line| (FIELD, HeaderValue::from_bytes(line.as_ref()).unwrap()))
            .collect()
    }

    fn listed<L: AsRef<[u8]>>(lines: &[L]) -> Result<Vec<Value<'static>>, Unread> {
        let mut members = Vec::new();
        list(&fields(lines), &FIELD, |value| members.push(owned(value)))?;
        Ok(members)
    }

    fn looked_up<L: AsRef<[u8]>>(lines: &[L]) -> Result<Vec<(String, Value<'static>)>, Unread> {
        let mut members = Vec::new();
        dictionary(&fields(lines), &FIELD, |key, value| {
            members.push((key.to_owned(), owned(value)));
        })?;
        Ok(members)
    }

    fn owned(value: Value<'_>) -> Value<'static> {
        match value {
            Value::Boolean(value) => Value::Boolean(value),
            Value::Integer(value) => Value::Integer(value),
            Value::String(text) => string(&text),
            Value::Other => Value::Other,
        }
    }

    fn string(text: &str) -> Value<'static> {
        Value::String(Cow::Owned(text.to_owned()))
    }

    #[test]
    fn items_are_read_to_the_letter() {
        for (item, value) in [
            ("0", Value::Integer(0)),
            ("-0", Value::Integer(0)),
            ("0042", Value::Integer(42)),
            ("-15", Value::Integer(-15)),
            ("999999999999999", Value::Integer(999_999_999_999_999)),
            ("-999999999999999", Value::Integer(-999_999_999_999_999)),
            ("000000000000001", Value::Integer(1)),
            ("?1", Value::Boolean(true)),
            ("?0", Value::Boolean(false)),
            (r#""""#, string("")),
            (r#"" a,;b~""#, string(" a,;b~")),
            (r#""\"\\""#, string(r#""\"#)),
            (r#""a\\b\"c""#, string(r#"a\b"c"#)),
            ("1.5", Value::Other),
            ("-0.125", Value::Other),
            ("123456789012.123", Value::Other),
            ("token", Value::Other),
            ("*", Value::Other),
            ("A:/!#$%&'*+-.^_`|~9z", Value::Other),
            ("::", Value::Other),
            (":aGk=:", Value::Other),
            (":aGk:", Value::Other),
            (":aGl=:", Value::Other),
            (":+/+/:", Value::Other),
            ("@0", Value::Other),
            ("@-1659578233", Value::Other),
            (r#"%"""#, Value::Other),
            (r#"%"f%c3%bc%22r""#, Value::Other),
            ("()", Value::Other),
            ("(  )", Value::Other),
            ("(1 2)", Value::Other),
            ("(1  2 )", Value::Other),
            (r#"("a";x "b");y=2"#, Value::Other),
            (
                "1;a;b=?0;c=2.5;d=x;e=\"f\";g=:aGk=:;*h=@5",
                Value::Integer(1),
            ),
            ("1;  a;   b", Value::Integer(1)),
            ("1;a=1;a=2", Value::Integer(1)),
            ("  1  ", Value::Integer(1)),
        ] {
            assert_eq!(listed(&[item]), Ok(vec![value.clone()]), "list: {item}");
            let member = format!("a={}", item.trim_start());
            let member = looked_up(&[member]);
            assert_eq!(member, Ok(vec![("a".to_owned(), value)]), "member: {item}");
        }
    }

    #[test]
    fn what_is_no_item_makes_the_field_malformed() {
        for item in [
            "-",
            "+1",
            "--1",
            "- 1",
            "1000000000000000",
            "-1000000000000000",
            "0000000000000001",
            "1.",
            "1.;a",
            ".5",
            "1.2345",
            "1234567890123.1",
            "1.2.3",
            "1e3",
            "0x1",
            "1a",
            "?",
            "?2",
            "?01",
            "?true",
            r#"""#,
            r#""a"#,
            r#""a\""#,
            r#""a\"#,
            r#""\n""#,
            r#""\a""#,
            "\"a\tb\"",
            "'a'",
            "#a",
            "!a",
            "a b",
            "t(",
            ":aGk=",
            ":",
            ":a:",
            ":a-_=:",
            ":aG k=:",
            ":aG=k:",
            "@",
            "@1.5",
            "@a",
            "@ 1",
            "@1000000000000000",
            "%",
            "%a",
            "%\"",
            r#"%"%C3%BC""#,
            r#"%"%c3""#,
            r#"%"%c""#,
            r#"%"%"#,
            r#"%"%zz""#,
            r#"%"%ff""#,
            "%\"a\tb\"",
            "(",
            "(1",
            "(1 ",
            "(1,2)",
            "(1\t2)",
            "(\"a\"\"b\")",
            "(1(2))",
            "(1))",
            "(1;)",
            "((1))",
            ")",
            "1;",
            "1;a=",
            "1;A",
            "1;1",
            "1 ;a",
            "1;a =1",
            "1;a= 1",
            "1;\ta",
            "1;a=(1)",
            "1;a=\"\\n\"",
            "1;;a",
            "\u{fc}",
            "\"\u{fc}\"",
            "t\u{fc}",
            ":\u{fc}:",
            "%\"\u{fc}\"",
            "1;a=\"\u{fc}\"",
        ] {
            assert_eq!(listed(&[item]), Err(Unread::Malformed), "list: {item}");
            let member = format!("a={item}");
            let member = looked_up(&[member]);
            assert_eq!(member, Err(Unread::Malformed), "member: {item}");
        }
    }

    #[test]
    fn members_of_a_list_are_parted_by_one_comma() {
        let two = Ok(vec![Value::Integer(1), Value::Other]);
        for line in ["1,a", "1, a", "1 ,a", "1\t,\ta", "1 \t , \t a", " 1,a "] {
            assert_eq!(listed(&[line]), two, "{line}");
        }
        assert_eq!(listed(&["a, b;x;y=1"]), Ok(vec![Value::Other; 2]));
        assert_eq!(listed(&["1,1"]), Ok(vec![Value::Integer(1); 2]));
        for line in [
            "1,", "1, ", ",1", "1,,a", "1, ,a", ",", "1 a", "1;a b", "1\ta", "A=1",
        ] {
            assert_eq!(listed(&[line]), Err(Unread::Malformed), "{line}");
        }
    }

    #[test]
    fn keys_of_a_dictionary_are_lower_case_and_bare_ones_are_true() {
        let keys = |line: &str| {
            looked_up(&[line]).map(|members| members.into_iter().map(|(key, _)| key).collect())
        };
        for key in ["a", "*", "*a", "a1", "a-b_c.d*e", "max-age"] {
            assert_eq!(keys(key), Ok(vec![key.to_owned()]), "{key}");
        }
        for key in [
            "A", "aB", "MaX-age", "1a", "-a", "_a", ".a", "a=", "a= 1", "a =1", "=1", "a!", "a/b",
            "a,", "a=1,", "a=1, ", ",a", "a,,b", "a b", "a=1 b=2", "a\u{fc}", "\"a\"=1", "a==1",
            "a;", "a ;x", "a;X", "a;x =1",
        ] {
            assert_eq!(keys(key), Err(Unread::Malformed), "{key}");
        }
        let bare = looked_up(&["a, b;x=1 ,\tc=?0"]);
        let values = [("a", true), ("b", true), ("c", false)];
        let values = values.map(|(key, value)| (key.to_owned(), Value::Boolean(value)));
        assert_eq!(bare, Ok(values.to_vec()));
    }

    #[test]
    fn a_key_that_stands_twice_is_told_twice_the_last_one_last() {
        let members = [("a", 1), ("b", 2), ("a", 3)];
        let members = members.map(|(key, value)| (key.to_owned(), Value::Integer(value)));
        assert_eq!(looked_up(&["a=1,b=2,a=3"]), Ok(members.to_vec()));
    }

    #[test]
    fn an_empty_field_and_none_have_no_members() {
        for lines in [&[][..], &[""], &["  "]] {
            assert_eq!(listed(lines), Ok(vec![]), "{lines:?}");
            assert_eq!(looked_up(lines), Ok(vec![]), "{lines:?}");
        }
    }

    #[test]
    fn lines_are_one_value() {
        assert_eq!(listed(&["1", "2"]), listed(&["1, 2"]));
        assert_eq!(looked_up(&["a=1", "b, a=2"]), looked_up(&["a=1,b,a=2"]));
        assert_eq!(listed(&["\"a", "b\""]), Ok(vec![string("a, b")]));
        for lines in [["1", ""], ["", "1"], ["", ""], ["1,", "2"], ["1", "A=1"]] {
            assert_eq!(listed(&lines), Err(Unread::Malformed), "{lines:?}");
        }
    }

    #[test]
    fn bytes_beyond_ascii_and_stray_tabs_make_the_field_malformed() {
        for line in [&b"\xff"[..], b"a\x80", b"\"\xc3\xbc\"", b"1, \xa0", b"\t1"] {
            assert_eq!(listed(&[line]), Err(Unread::Malformed), "{line:?}");
            assert_eq!(listed(&[&b"1"[..], line]).is_err(), line != b"\t1");
        }
    }

    #[test]
    fn what_the_rfc_asks_to_be_accepted_is() {
        let repeated = |part: &str, times: usize| vec![part; times].join(", ");
        assert_eq!(listed(&[repeated("\"abc\"", 1024)]).unwrap().len(), 1024);
        let members: Vec<_> = (0..1024).map(|n| format!("k{n}=1")).collect();
        assert_eq!(looked_up(&[members.join(", ")]).unwrap().len(), 1024);
        for long in [
            format!("({})", vec!["1"; 256].join(" ")),
            format!("1{}", ";a=1".repeat(256)),
            format!("1;{}", "k".repeat(64)),
            format!("\"{}\"", "x".repeat(1024)),
            "t".repeat(512),
            format!(":{}:", "QUJD".repeat(4 * 1024 - 1)),
        ] {
            assert_eq!(listed(&[&long]).unwrap().len(), 1, "{long}");
        }
    }

    #[test]
    fn a_field_longer_than_the_limit_is_not_read() {
        let of_length = |length: usize| format!("\"{}\"", "x".repeat(length - 2));
        assert!(listed(&[of_length(LONGEST_FIELD)]).is_ok());
        assert_eq!(
            listed(&[of_length(LONGEST_FIELD + 1)]),
            Err(Unread::TooLong)
        );
        let half = of_length(LONGEST_FIELD / 2 - 1);
        assert!(listed(&[&half, &half]).is_ok());
        assert_eq!(listed(&[&half, &half, "1"]), Err(Unread::TooLong));
        assert_eq!(
            looked_up(&[of_length(LONGEST_FIELD + 1)]),
            Err(Unread::TooLong)
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic_and_lines_are_one_value(
            lines in proptest::collection::vec(bytes(), 1..4),
        ) {
            let joined = lines.join(&b", "[..]);
            prop_assert_eq!(listed(&lines), listed(&[&joined]));
            prop_assert_eq!(looked_up(&lines), looked_up(&[&joined]));
        }

        #[test]
        fn a_string_is_read_as_it_was_meant(text in "[ -~]{0,40}") {
            let quoted = format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
            prop_assert_eq!(listed(&[quoted]), Ok(vec![string(&text)]));
        }

        #[test]
        fn an_integer_is_read_exactly(n in -999_999_999_999_999..=999_999_999_999_999_i64) {
            prop_assert_eq!(listed(&[n.to_string()]), Ok(vec![Value::Integer(n)]));
        }
    }

    /// Of a field value: mostly what has a meaning here.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let meaning = proptest::sample::select(b"ab1*-.,;= \t\"\\()?:@%".to_vec());
        let any = any::<u8>().prop_filter("not in a field", |byte| {
            *byte == b'\t' || (*byte >= 32 && *byte != 127)
        });
        proptest::collection::vec(prop_oneof![9 => meaning, 1 => any], 0..24)
    }
}

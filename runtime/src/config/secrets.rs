//! Keeps secrets that somebody has written into a configuration, where they do not belong, out of reports about it.
//!
//! A report draws lines of the text around a mistake, and lands in terminals, logs and tickets. All that is known of such a value is
//! the name in front of it; the text may be no RON at all.

/// Parts of names whose values are secrets.
const SECRETS: [&str; 5] = ["password", "passwd", "passphrase", "secret", "token"];

/// The same text, as many bytes long, with stars in place of what a field that sounds like a secret has. The name of a file is none.
pub(super) fn masked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, name, after)) = next_name(rest) {
        out += before;
        out += name;
        rest = after;
        if is_secret(name)
            && let Some(at) = value_after(after)
        {
            let end = at + value_len(&after[at..]);
            out += &after[..at];
            out.extend(after[at..end].bytes().map(|byte| if byte == b'"' { '"' } else { '*' }));
            rest = &after[end..];
        }
    }
    out + rest
}

/// What comes before the next name, the name, and what comes behind it.
fn next_name(text: &str) -> Option<(&str, &str, &str)> {
    let at = text.find(|c: char| c.is_ascii_alphabetic() || c == '_')?;
    let (before, from) = text.split_at(at);
    let len = from.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))).unwrap_or(from.len());
    let (name, after) = from.split_at(len);
    Some((before, name, after))
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    !name.ends_with("file") && SECRETS.iter().any(|secret| name.contains(secret))
}

/// Where the value begins, if a colon or the like makes it one.
fn value_after(text: &str) -> Option<usize> {
    let behind_name = text.strip_prefix(['"', '\'']).unwrap_or(text).trim_start();
    let value = behind_name.strip_prefix([':', '='])?.trim_start();
    (!value.starts_with(['(', '[', '{'])).then(|| text.len() - value.len())
}

/// How long a value is: to the quote that ends it, or where it has none to what ends any value.
fn value_len(value: &str) -> usize {
    let raw = value.strip_prefix('r').unwrap_or(value).trim_start_matches('#');
    let Some(quoted) = raw.strip_prefix('"') else {
        return value.find([',', ')', ']', '}', '\n', '\r']).unwrap_or(value.len());
    };
    let opening = value.len() - quoted.len();
    let hashes = value[..opening].matches('#').count();
    let is_raw = value.starts_with('r');
    let ends = format!("\"{}", "#".repeat(hashes));
    let mut from = 0;
    while let Some(at) = quoted[from..].find(&ends).map(|at| from + at) {
        let escapes = quoted[..at].bytes().rev().take_while(|byte| *byte == b'\\').count();
        if is_raw || escapes % 2 == 0 {
            return opening + at + ends.len();
        }
        from = at + 1;
    }
    value.len() // it never ends
}

#[cfg(test)]
mod tests {
    use super::masked;

    #[test]
    fn values_of_what_sounds_secret_are_masked_however_they_are_written() {
        for (text, shown) in [
            (r#"(password: "hunter2", a: "b")"#, r#"(password: "*******", a: "b")"#),
            (r#"client_secret:"a\"b",c"#, r#"client_secret:"**"*",c"#),
            (r##"password: r#"a"b"#, c"##, r##"password: **"*"*"*, c"##),
            ("Password = hunter2\nb: 1", "Password = *******\nb: 1"),
            ("\"admin_token\": hunter2)", "\"admin_token\": *******)"),
            ("sasl.password: \"hunter2", "sasl.password: \"*******"),
            ("password: \"grün\" x", "password: \"*****\" x"),
            ("passphrase:\n  \"two\nlines\",", "passphrase:\n  \"*********\","),
        ] {
            assert_eq!(masked(text), shown);
            assert_eq!(masked(text).len(), text.len());
        }
    }

    #[test]
    fn everything_else_stays() {
        let text = r#"(token_file: "a", password_file: "b", upstream: (secrets: ["c"], token), // a password is no field
            client_secret_file: "d", name: "password", mechanism: "x")"#;
        assert_eq!(masked(text), text);
        assert_eq!(masked(""), "");
    }
}

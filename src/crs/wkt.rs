//! Well-known text as a tree.

/// Brackets within brackets, at most: a definition has six.
const DEPTH_MAX: usize = 32;

/// A keyword and what stands in its brackets.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct WktNode {
    /// In capitals.
    pub(super) keyword: String,
    pub(super) values: Vec<WktValue>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum WktValue {
    Text(String),
    Number(f64),
    /// A name without quotes and brackets, in capitals.
    Word(String),
    Node(WktNode),
}

impl WktNode {
    /// The tree of a text; `None` if it is not one.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut rest = text.trim();
        let node = value(&mut rest, 0)?;
        match node {
            WktValue::Node(node) if rest.trim().is_empty() => Some(node),
            _ => None,
        }
    }

    /// The nodes directly below that have one of these keywords.
    pub(super) fn children<'a>(
        &'a self,
        keywords: &'a [&str],
    ) -> impl Iterator<Item = &'a WktNode> {
        let nodes = self.values.iter().filter_map(|value| {
            if let WktValue::Node(node) = value {
                Some(node)
            } else {
                None
            }
        });
        nodes.filter(|node| keywords.contains(&node.keyword.as_str()))
    }

    pub(super) fn child(&self, keywords: &[&str]) -> Option<&WktNode> {
        self.values.iter().find_map(|value| match value {
            WktValue::Node(node) if keywords.contains(&node.keyword.as_str()) => Some(node),
            _ => None,
        })
    }

    /// The first text.
    pub(super) fn name(&self) -> &str {
        match self.values.first() {
            Some(WktValue::Text(text)) => text,
            _ => "",
        }
    }

    /// The number at a place among the values.
    pub(super) fn number(&self, at: usize) -> Option<f64> {
        match self.values.get(at) {
            Some(WktValue::Number(number)) => Some(*number),
            _ => None,
        }
    }

    /// Authority and code, if the node has them.
    pub(super) fn code(&self) -> Option<(String, u32)> {
        let node = self.child(&["AUTHORITY", "ID"])?;
        let code = match node.values.get(1)? {
            WktValue::Text(text) => text.trim().parse().ok()?,
            WktValue::Number(number) => format!("{number}").parse().ok()?,
            _ => return None,
        };
        Some((node.name().to_uppercase(), code))
    }
}

fn value(rest: &mut &str, depth: usize) -> Option<WktValue> {
    *rest = rest.trim_start();
    if rest.starts_with('"') {
        return text(rest).map(WktValue::Text);
    }
    let end = rest
        .find(|c: char| "[](),".contains(c) || c.is_whitespace())
        .unwrap_or(rest.len());
    let (word, after) = rest.split_at(end);
    if word.is_empty() {
        return None;
    }
    *rest = after.trim_start();
    let Some(open) = rest.chars().next().filter(|c| "[(".contains(*c)) else {
        return Some(
            word.parse()
                .map_or_else(|_| WktValue::Word(word.to_uppercase()), WktValue::Number),
        );
    };
    if depth >= DEPTH_MAX {
        return None;
    }
    let close = if open == '[' { ']' } else { ')' };
    let mut values = Vec::new();
    loop {
        // Behind the bracket, or the comma.
        *rest = &rest[1..];
        values.push(value(rest, depth + 1)?);
        *rest = rest.trim_start();
        match rest.chars().next()? {
            ',' => {}
            end if end == close => break,
            _ => return None,
        }
    }
    *rest = &rest[1..];
    Some(WktValue::Node(WktNode {
        keyword: word.to_uppercase(),
        values,
    }))
}

/// A text in quotes, in which a quote is two.
fn text(rest: &mut &str) -> Option<String> {
    let mut text = String::new();
    let mut from = &rest[1..];
    loop {
        let (part, after) = from.split_once('"')?;
        text.push_str(part);
        match after.strip_prefix('"') {
            Some(more) => {
                text.push('"');
                from = more;
            }
            None => {
                *rest = after;
                return Some(text);
            }
        }
    }
}

//! The commands of NCO that mend a file, with names as a shell takes them.

use crate::adapter::text::{in_quotes, quoted};

/// Takes a variable away.
pub(super) fn without(variable: &str, made: &str) -> String {
    format!("ncks -C -x -v {} FILE {made}", quoted(variable))
}

/// Keeps some cells along a dimension: the option of `ncks`.
pub(super) fn part(dimension: &str, first: usize, last: usize) -> String {
    format!("-d {},{first},{last}", quoted(dimension))
}

/// Takes an attribute of a variable away: the option of `ncatted`.
pub(super) fn unset(attribute: &str, variable: &str) -> String {
    format!("-a {attribute},{},d,,", quoted(variable))
}

/// Sets an attribute of a variable to a text.
pub(super) fn set(attribute: &str, variable: &str, text: &str) -> String {
    let (variable, text) = (quoted(variable), in_quotes(text));
    format!("ncatted -a {attribute},{variable},o,c,{text} FILE")
}

/// Runs a script of `ncap2`.
pub(super) fn computed(script: &str, made: &str) -> String {
    format!("ncap2 -s {} FILE {made}", in_quotes(script))
}

/// A name in a script of `ncap2`: of a variable, `NAME@ATTRIBUTE`, or `$DIMENSION`.
pub(super) fn in_script(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_@$".contains(c);
    if name.chars().all(is_plain) {
        name.to_owned()
    } else {
        format!("'{name}'")
    }
}

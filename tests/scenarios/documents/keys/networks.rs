//! How a network or an address is written, as a pattern: of the longer kind of address each form that there is, for `::` stands for one
//! group of zeros at least, and the last two groups may be written as the other kind.

macro_rules! v4 {
    () => {
        concat!(octet!(), r"(\.", octet!(), "){3}")
    };
}

macro_rules! octet {
    () => {
        "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
    };
}

/// Up to so many groups before `::` and after it.
macro_rules! around {
    ($before:literal, $after:literal) => {
        concat!(
            "(",
            group!(),
            ":){1,",
            $before,
            "}(:",
            group!(),
            "){1,",
            $after,
            "}"
        )
    };
}

macro_rules! group {
    () => {
        "[0-9A-Fa-f]{1,4}"
    };
}

/// Nothing left out, nothing after `::`, something on both sides of it, nothing before it.
macro_rules! whole {
    () => {
        concat!(
            "(",
            group!(),
            ":){7}",
            group!(),
            "|(",
            group!(),
            ":){1,7}:|",
            around!(6, 1),
            "|",
            around!(5, 2),
            "|",
            around!(4, 3),
            "|",
            around!(3, 4),
            "|",
            around!(2, 5),
            "|",
            around!(1, 6),
            "|:((:",
            group!(),
            "){1,7}|:)"
        )
    };
}

/// Likewise.
macro_rules! before_v4 {
    () => {
        concat!(
            "(",
            group!(),
            ":){6}|(",
            group!(),
            ":){1,5}:|(",
            around!(4, 1),
            "|",
            around!(3, 2),
            "|",
            around!(2, 3),
            "|",
            around!(1, 4),
            "):|::(",
            group!(),
            ":){0,5}"
        )
    };
}

/// A network such as 10.0.0.0/8, or an address.
pub(super) const NETWORK: &str = concat!(
    "^(",
    v4!(),
    "(/(3[0-2]|[0-2]?[0-9]))?|(",
    whole!(),
    "|(",
    before_v4!(),
    ")",
    v4!(),
    ")(/(12[0-8]|1[01][0-9]|0?[0-9]?[0-9]))?)$"
);

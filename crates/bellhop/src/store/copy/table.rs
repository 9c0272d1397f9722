//! How the copy of a table is described.

/// A table that is copied, in the order of its key.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    /// Its name on both sides.
    pub name: &'static str,
    /// What is copied, the key first.
    pub columns: &'static [Column],
    /// How many of the columns are the key.
    pub key: usize,
    /// Where the source finds what it has not in the table itself.
    pub join: Option<Join>,
    /// Columns that the target alone has and that stay empty, each with its reason.
    pub left_empty: &'static [(&'static str, &'static str)],
}

/// Another table of the source, of which each row has at most one.
#[derive(Debug, Clone, Copy)]
pub struct Join {
    /// Its name.
    pub table: &'static str,
    /// The condition.
    pub on: &'static str,
}

/// A column.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Its name in the target, and in the source unless it is found elsewhere there.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// What the source has in its place, if it has no such column: an expression.
    pub found: Option<&'static str>,
    /// Whether it is encrypted.
    pub sealed: Option<Sealed>,
}

/// What a column holds, and how each side keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// 16 bytes; `uuid`.
    Id,
    /// An integer; `bigint`.
    Number,
    /// An integer; `smallint`.
    Small,
    /// 0 or 1; `boolean`.
    Flag,
    /// Text.
    Text,
    /// Bytes.
    Bytes,
    /// A JSON array of integers; `bigint[]`.
    Numbers,
}

/// What a sealed value is bound to besides the key of its row: see [`Place`](crate::vault::Place). It is the same in both
/// databases, and so the value is copied as it is.
#[derive(Debug, Clone, Copy)]
pub struct Sealed {
    /// The place's column.
    pub place: &'static str,
    /// A flag of the same row; where it is false, the value is plain.
    pub only_if: Option<&'static str>,
}

impl Column {
    const fn new(name: &'static str, kind: Kind) -> Self {
        Self {
            name,
            kind,
            found: None,
            sealed: None,
        }
    }

    /// What the source has in its place.
    pub(super) const fn found(mut self, expression: &'static str) -> Self {
        self.found = Some(expression);
        self
    }

    /// Encrypted, always.
    pub(super) const fn sealed(self, place: &'static str) -> Self {
        self.sealed_if(place, None)
    }

    /// Encrypted where this flag says so.
    pub(super) const fn sealed_if(
        mut self,
        place: &'static str,
        only_if: Option<&'static str>,
    ) -> Self {
        self.sealed = Some(Sealed { place, only_if });
        self
    }
}

impl Table {
    /// One whose columns are the same on both sides.
    pub(super) const fn of(name: &'static str, key: usize, columns: &'static [Column]) -> Self {
        Self {
            name,
            columns,
            key,
            join: None,
            left_empty: &[],
        }
    }

    /// The query of the source, in the order of the key.
    pub fn select(&self) -> String {
        let name = self.name;
        let columns: Vec<_> = self
            .columns
            .iter()
            .map(|column| match column.found {
                Some(expression) => expression.to_owned(),
                None => format!("{name}.{}", column.name),
            })
            .collect();
        let join = self.join.map_or_else(String::new, |Join { table, on }| {
            format!(" LEFT JOIN {table} ON {on}")
        });
        let order: Vec<_> = self.columns[..self.key]
            .iter()
            .map(|column| format!("{name}.{}", column.name))
            .collect();
        format!(
            "SELECT {} FROM {name}{join} ORDER BY {}",
            columns.join(", "),
            order.join(", ")
        )
    }

    /// How the target takes the rows.
    pub fn copy_in(&self) -> String {
        let columns: Vec<_> = self.columns.iter().map(|column| column.name).collect();
        format!(
            "COPY {} ({}) FROM STDIN (FORMAT binary)",
            self.name,
            columns.join(", ")
        )
    }

    /// How the target gives them back, in the same order as the source: bytes are compared as bytes there too.
    pub fn copy_out(&self) -> String {
        let columns: Vec<_> = self.columns.iter().map(|column| column.name).collect();
        let order: Vec<_> = self.columns[..self.key]
            .iter()
            .map(|column| match column.kind {
                Kind::Text => format!("{} COLLATE \"C\"", column.name),
                _ => column.name.to_owned(),
            })
            .collect();
        format!(
            "COPY (SELECT {} FROM {} ORDER BY {}) TO STDOUT (FORMAT binary)",
            columns.join(", "),
            self.name,
            order.join(", ")
        )
    }
}

/// A column of 16 bytes.
pub const fn id(name: &'static str) -> Column {
    Column::new(name, Kind::Id)
}

/// A column of integers.
pub const fn number(name: &'static str) -> Column {
    Column::new(name, Kind::Number)
}

/// A column of small integers.
pub const fn small(name: &'static str) -> Column {
    Column::new(name, Kind::Small)
}

/// A column of yes and no.
pub const fn flag(name: &'static str) -> Column {
    Column::new(name, Kind::Flag)
}

/// A column of text.
pub const fn text(name: &'static str) -> Column {
    Column::new(name, Kind::Text)
}

/// A column of bytes.
pub const fn bytes(name: &'static str) -> Column {
    Column::new(name, Kind::Bytes)
}

/// A column of lists of integers.
pub const fn numbers(name: &'static str) -> Column {
    Column::new(name, Kind::Numbers)
}

//! The tables as Iceberg has them: how they are created, and how rows are written into one that exists.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::SchemaRef as ArrowSchemaRef;
use iceberg::arrow::schema_to_arrow_schema;
use iceberg::io::FileIO;
use iceberg::spec::{
    NestedField, NullOrder, PrimitiveType, Schema, SchemaRef, SortDirection, SortField, SortOrder, TableMetadata, Transform,
    Type, UnboundPartitionField, UnboundPartitionSpec,
};
use iceberg::{Error, TableCreation};

use super::committer::Shape;
use crate::tables::{ColumnType, Table};

/// The field id of the first partition field; the next one has the next id.
const FIRST_PARTITION_FIELD: i32 = 1000;

/// What other engines should know when they write or keep these tables. Old metadata files are theirs to remove: the library does not.
const PROPERTIES: [(&str, &str); 3] = [
    ("write.parquet.compression-codec", "zstd"),
    ("write.metadata.delete-after-commit.enabled", "true"),
    ("write.metadata.previous-versions-max", "100"),
];

/// One table as it was last looked at, and how rows get into it.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) table: Table,
    pub(super) shape: Shape,
    pub(super) schema: SchemaRef,
    /// The same schema for Parquet, with field ids.
    pub(super) arrow: ArrowSchemaRef,
    /// For every field of the schema, the column of ours it takes; `None` is NULL.
    pub(super) sources: Vec<Option<usize>>,
    /// The partition fields: name and the column of ours.
    pub(super) partition: Vec<(String, usize)>,
    /// The sort order of the table, if our rows are sorted by it.
    pub(super) sort_order: Option<i32>,
    /// Where data files go, without a slash at the end.
    pub(super) location: String,
    pub(super) io: FileIO,
}

/// How the table is created: field ids in column order, every field optional and with its doc, identity partitions, format version 2.
pub(super) fn creation(table: Table) -> Result<TableCreation, Error> {
    let fields = table.columns().iter().zip(1..).map(|(column, id)| {
        let kind = Type::Primitive(primitive(column.kind));
        Arc::new(NestedField::optional(id, column.name, kind).with_doc(column.doc))
    });
    let schema = Schema::builder().with_fields(fields).build()?;
    let spec = table.partition_by().iter().zip(FIRST_PARTITION_FIELD..).map(|(name, id)| UnboundPartitionField {
        source_id: field_id(table, name),
        field_id: Some(id),
        name: (*name).to_owned(),
        transform: Transform::Identity,
    });
    let spec = UnboundPartitionSpec::builder().with_spec_id(0).add_partition_fields(spec)?.build();
    let mut order = SortOrder::builder();
    order.with_order_id(1);
    for name in table.sort_by() {
        order.with_sort_field(sort_field(field_id(table, name)));
    }
    Ok(TableCreation::builder()
        .name(table.name().to_owned())
        .sort_order(order.build(&schema)?)
        .schema(schema)
        .partition_spec(spec)
        .properties(PROPERTIES.map(|(key, value)| (key.to_owned(), value.to_owned())))
        .build())
}

impl Target {
    /// # Errors
    /// Says which column or partition field of the table floe cannot write, and what it expects.
    pub(super) fn of(table: Table, metadata: &TableMetadata, io: &FileIO) -> Result<Target, String> {
        let schema = metadata.current_schema();
        for column in table.columns() {
            let expected = primitive(column.kind);
            let Some(field) = schema.field_by_name(column.name) else {
                return Err(format!("column `{}` is missing: add it, optional, as {expected}", column.name));
            };
            if !fits(&expected, &field.field_type) {
                return Err(format!("column `{}` is {}, expected {expected}", column.name, field.field_type));
            }
        }
        let fields = schema.as_struct().fields();
        if let Some(field) = fields.iter().find(|field| field.required) {
            return Err(format!(
                "column `{}` is required, expected it to be optional: a row may have no value there",
                field.name
            ));
        }
        let sources: Vec<Option<usize>> = fields.iter().map(|field| table.column(&field.name)).collect();
        let ids: HashMap<i32, usize> =
            fields.iter().zip(&sources).filter_map(|(field, source)| Some((field.id, (*source)?))).collect();
        let arrow = schema_to_arrow_schema(schema).map_err(|error| error.to_string())?;
        Ok(Target {
            table,
            shape: Shape {
                table: metadata.uuid(),
                schema: metadata.current_schema_id(),
                spec: metadata.default_partition_spec_id(),
            },
            schema: Arc::clone(schema),
            arrow: Arc::new(arrow),
            sources,
            partition: partition(table, metadata, &ids)?,
            sort_order: sort_order(table, metadata, &ids),
            location: location(metadata),
            io: io.clone(),
        })
    }
}

/// The Iceberg type of a column.
pub(super) fn primitive(kind: ColumnType) -> PrimitiveType {
    match kind {
        ColumnType::String => PrimitiveType::String,
        ColumnType::Timestamp => PrimitiveType::Timestamptz,
        ColumnType::Double => PrimitiveType::Double,
        ColumnType::Boolean => PrimitiveType::Boolean,
        ColumnType::Long => PrimitiveType::Long,
        ColumnType::Int => PrimitiveType::Int,
        ColumnType::Date => PrimitiveType::Date,
    }
}

/// A table made by others may have times without a zone; they are written as they are.
fn fits(expected: &PrimitiveType, found: &Type) -> bool {
    match found {
        Type::Primitive(PrimitiveType::Timestamp) => *expected == PrimitiveType::Timestamptz,
        Type::Primitive(found) => found == expected,
        _ => false,
    }
}

/// Field ids of the tables that floe creates: 1, 2, 3 … in column order.
fn field_id(table: Table, name: &str) -> i32 {
    table.column(name).and_then(|index| i32::try_from(index + 1).ok()).unwrap_or_default()
}

fn sort_field(source_id: i32) -> SortField {
    SortField { source_id, transform: Transform::Identity, direction: SortDirection::Ascending, null_order: NullOrder::First }
}

fn partition(table: Table, metadata: &TableMetadata, ids: &HashMap<i32, usize>) -> Result<Vec<(String, usize)>, String> {
    let mut fields = Vec::new();
    for field in metadata.default_partition_spec().fields() {
        let source = ids.get(&field.source_id).copied().filter(|_| field.transform == Transform::Identity);
        match source.filter(|index| matches!(table.columns()[*index].kind, ColumnType::Date | ColumnType::Int)) {
            Some(index) => fields.push((field.name.clone(), index)),
            None => {
                return Err(format!(
                    "partition field `{}` has transform {}, expected identity on {}",
                    field.name,
                    field.transform,
                    table.partition_by().join(" or ")
                ));
            }
        }
    }
    Ok(fields)
}

fn sort_order(table: Table, metadata: &TableMetadata, ids: &HashMap<i32, usize>) -> Option<i32> {
    let order = metadata.default_sort_order();
    let ours: Vec<Option<usize>> = table.sort_by().iter().map(|name| table.column(name)).collect();
    let theirs: Vec<Option<usize>> = order.fields.iter().map(|field| ids.get(&field.source_id).copied()).collect();
    let ascending = order.fields.iter().all(|field| *field == sort_field(field.source_id));
    // What is sorted by (a, b) is sorted by (a) as well.
    let sorted = !theirs.is_empty() && ours.starts_with(&theirs) && ascending;
    sorted.then(|| i32::try_from(order.order_id).ok()).flatten()
}

fn location(metadata: &TableMetadata) -> String {
    let path = metadata.properties().get("write.data.path");
    let default = || format!("{}/data", metadata.location().trim_end_matches('/'));
    path.map_or_else(default, |path| path.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use iceberg::spec::TableMetadataBuilder;

    use super::*;

    fn metadata(creation: TableCreation) -> TableMetadata {
        let creation = TableCreation { location: Some("file:///w/t".to_owned()), ..creation };
        TableMetadataBuilder::from_table_creation(creation).expect("valid").build().expect("valid").metadata
    }

    fn check(table: Table, change: impl FnOnce(&mut TableCreation)) -> Result<Target, String> {
        let mut creation = creation(table).expect("valid");
        change(&mut creation);
        Target::of(table, &metadata(creation), &FileIO::new_with_memory())
    }

    fn with_fields(change: impl Fn(&mut Vec<NestedField>)) -> Schema {
        let schema = creation(Table::Errors).expect("valid").schema;
        let mut fields: Vec<NestedField> = schema.as_struct().fields().iter().map(|field| (**field).clone()).collect();
        change(&mut fields);
        Schema::builder().with_fields(fields.into_iter().map(Arc::new)).build().expect("valid")
    }

    #[test]
    fn tables_are_created_with_ids_docs_partitions_and_order() {
        for table in Table::ALL {
            let metadata = metadata(creation(table).expect("valid"));
            for (column, id) in table.columns().iter().zip(1..) {
                let field = metadata.current_schema().field_by_id(id).expect("there");
                assert_eq!((field.name.as_str(), field.doc.as_deref(), field.required), (column.name, Some(column.doc), false));
            }
            let spec: Vec<(&str, i32)> =
                metadata.default_partition_spec().fields().iter().map(|field| (field.name.as_str(), field.field_id)).collect();
            let expected: Vec<(&str, i32)> = table.partition_by().iter().copied().zip(1000..).collect();
            assert_eq!(spec, expected);
            assert_eq!(metadata.default_sort_order().fields.len(), 2);
        }
    }

    #[test]
    fn a_table_that_floe_created_fits() {
        for table in Table::ALL {
            let target = check(table, |_| {}).expect("fits");
            assert_eq!(target.sources, (0..table.columns().len()).map(Some).collect::<Vec<_>>());
            assert_eq!(target.partition.len(), table.partition_by().len());
            assert_eq!((target.sort_order, target.location.as_str()), (Some(1), "file:///w/t/data"));
        }
    }

    #[test]
    fn a_column_of_another_type_is_named() {
        let schema = with_fields(|fields| *fields[1].field_type = Type::Primitive(PrimitiveType::Long));
        let error = check(Table::Errors, |creation| creation.schema = schema).expect_err("does not fit");
        assert_eq!(error, "column `invocation_id` is long, expected string");
    }

    #[test]
    fn a_missing_or_required_column_is_named() {
        let schema = with_fields(|fields| drop(fields.remove(8)));
        let error = check(Table::Errors, |creation| creation.schema = schema).expect_err("does not fit");
        assert!(error.starts_with("column `version` is missing"), "{error}");
        let schema = with_fields(|fields| fields[0].required = true);
        let error = check(Table::Errors, |creation| creation.schema = schema).expect_err("does not fit");
        assert!(error.starts_with("column `error_id` is required"), "{error}");
    }

    #[test]
    fn a_column_of_others_is_null_and_a_time_without_zone_is_taken() {
        let schema = with_fields(|fields| {
            fields.push(NestedField::optional(11, "tenant", Type::Primitive(PrimitiveType::String)));
            *fields[3].field_type = Type::Primitive(PrimitiveType::Timestamp);
        });
        let target = check(Table::Errors, |creation| creation.schema = schema).expect("fits");
        assert_eq!(target.sources.last(), Some(&None));
    }

    #[test]
    fn another_transform_is_named_and_another_order_is_not_claimed() {
        let spec = UnboundPartitionSpec::builder().add_partition_field(10, "month", Transform::Month).expect("valid").build();
        let error = check(Table::Errors, |creation| creation.partition_spec = Some(spec)).expect_err("does not fit");
        assert_eq!(error, "partition field `month` has transform month, expected identity on date");
        let target = check(Table::Errors, |creation| creation.sort_order = None).expect("fits");
        assert_eq!(target.sort_order, None);
    }
}

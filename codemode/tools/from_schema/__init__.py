"""Tools from JSON Schema: the schema as data, the types made of it, and the record of the tool."""

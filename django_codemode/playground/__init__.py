"""The playground: a page of the admin where staff try code against the project's tools."""

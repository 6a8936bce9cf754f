"""Who answers: one small file a backend, and the catalog that names them."""

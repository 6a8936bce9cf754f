"""A page in the browser that shows searches while they run and after."""

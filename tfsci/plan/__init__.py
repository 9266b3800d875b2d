"""What a training needs and how it will scale, in arithmetic: no TensorFlow."""

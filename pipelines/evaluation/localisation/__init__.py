"""Does a system point at the disease? Marks, lesions, FROC and LROC."""

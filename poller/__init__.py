"""The clock and the pen: looks at every machine when it is due and writes down what was seen."""

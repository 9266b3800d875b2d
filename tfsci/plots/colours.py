"""Okabe and Ito's colours, told apart with every kind of colour vision."""

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#666666"
GREEN, PURPLE, YELLOW, SKY = "#009E73", "#CC79A7", "#E69F00", "#56B4E9"

# In the order in which lines take them.
CYCLE = (BLUE, ORANGE, GREEN, PURPLE, YELLOW, SKY, GREY)

"""Okabe and Ito's colours, told apart with every kind of colour vision."""

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#666666"

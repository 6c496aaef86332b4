"""Quality control: three stages of small rules, each a pure function of a clip and its limits that says None or why it goes."""

"""What records look like to a reader: tables on the terminal, markdown leaderboards."""

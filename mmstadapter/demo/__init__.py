"""The demonstration and the leaderboard on data sets that make themselves."""

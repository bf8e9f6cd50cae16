"""What Docker needs besides what all container engines do: its daemon, its API, and its own words for limits."""

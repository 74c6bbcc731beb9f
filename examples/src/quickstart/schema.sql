-- A shop: a thousand users with 400 orders each. No index helps with the orders of a user or of an
-- item, so that asking for them costs something.

CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL);

CREATE TABLE orders (
    id INTEGER PRIMARY KEY,
    user_id INTEGER NOT NULL REFERENCES users (id),
    item TEXT NOT NULL,
    cents INTEGER NOT NULL
);

WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers LIMIT 1000)
INSERT INTO users SELECT n, 'User ' || n FROM numbers;

WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers LIMIT 400)
INSERT INTO orders (user_id, item, cents)
SELECT
    users.id,
    CASE (n + users.id) % 5
        WHEN 0 THEN 'chair' WHEN 1 THEN 'clock' WHEN 2 THEN 'desk' WHEN 3 THEN 'lamp' ELSE 'shelf'
    END,
    1000 + n * users.id % 7919
FROM numbers CROSS JOIN users;

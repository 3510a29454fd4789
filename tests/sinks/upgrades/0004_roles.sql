INSERT INTO customer.login VALUES ('acme_bi', 'acme');
